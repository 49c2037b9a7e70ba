// Provider "magic_hour": headshots by Magic Hour.
#pragma once

#include <memory>

#include "workers/generation/provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

/// Reads kinds.generation.magic_hour; nullptr: no key. Throws ConfigError.
std::unique_ptr<Provider> make_magic_hour_provider(const Deps& deps);

}  // namespace rowcrew::generation
