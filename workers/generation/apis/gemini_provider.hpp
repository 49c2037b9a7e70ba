// Provider "gemini": pictures by Google's Gemini API.
#pragma once

#include <memory>

#include "workers/generation/provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

/// Reads kinds.generation.gemini; nullptr: no key. Throws ConfigError.
std::unique_ptr<Provider> make_gemini_provider(const Deps& deps);

}  // namespace rowcrew::generation
