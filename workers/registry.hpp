// All kinds of this build.
#pragma once

namespace rowcrew {

class Registry;
struct Deps;

/// Builds every kind, which reads its part of the configuration now: throws ConfigError for a wrong
/// value. Call once, at start, on the event thread; what `deps` refers to must outlive the
/// registry.
void register_kinds(Registry& registry, Deps& deps);

}  // namespace rowcrew
