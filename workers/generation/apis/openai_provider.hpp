// Provider "openai": pictures by OpenAI's Images API.
#pragma once

#include <memory>

#include "workers/generation/provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

/// Reads kinds.generation.openai; nullptr: no key. Throws ConfigError.
std::unique_ptr<Provider> make_openai_provider(const Deps& deps);

}  // namespace rowcrew::generation
