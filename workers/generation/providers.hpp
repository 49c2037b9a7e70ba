// The providers that there are, and which of them this node is configured for.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "provider.hpp"

namespace rowcrew {
struct Deps;
}

namespace rowcrew::generation {

/// By name; nullptr: the program knows it, but this node has no configuration for it.
using Providers = std::map<std::string, std::unique_ptr<Provider>, std::less<>>;

/// Reads kinds.generation, secrets included. Throws ConfigError.
Providers make_providers(const Deps& deps);

/// "comfyui, presets": for sentences.
std::string names_of(const Providers& providers);

}  // namespace rowcrew::generation
