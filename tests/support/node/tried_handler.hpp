// A handler that leaves a trace of every execution outside the database.
#pragma once

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>

namespace rowcrew::testing {

/// tried: {"ms": n, "stubborn": false} waits, then completes; a stubborn one ignores cancellation.
/// Appends a line "job start|end boottime_us pid" to the file
/// that TEST_TRIES_FILE names, "end" however the execution ends; writes nothing when it is not set.
/// A killed process leaves a start without an end.
void register_tried(Registry& registry, Deps& deps);

}  // namespace rowcrew::testing
