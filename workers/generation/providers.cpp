#include "providers.hpp"

#include "presets_provider.hpp"

namespace rowcrew::generation {

Providers make_providers(const Deps& deps) {
  Providers all;
  all.emplace("presets", make_presets_provider(deps));
  return all;
}

std::string names_of(const Providers& providers) {
  std::string names;
  for (const auto& [name, provider] : providers) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

}  // namespace rowcrew::generation
