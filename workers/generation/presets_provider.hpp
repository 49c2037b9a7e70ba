// Provider "presets": develops the picture here, in a child program with limits.
#pragma once

#include <memory>

#include "provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

/// Reads kinds.generation. Throws ConfigError.
std::unique_ptr<Provider> make_presets_provider(const Deps& deps);

}  // namespace rowcrew::generation
