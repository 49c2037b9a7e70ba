#include "providers.hpp"

#include "workers/generation/apis/gemini_provider.hpp"
#include "workers/generation/apis/magic_hour_provider.hpp"
#include "workers/generation/apis/openai_provider.hpp"
#include "workers/generation/comfyui/provider.hpp"
#include "presets_provider.hpp"

namespace rowcrew::generation {

Providers make_providers(const Deps& deps) {
  Providers all;
  all.emplace("gemini", make_gemini_provider(deps));
  all.emplace("magic_hour", make_magic_hour_provider(deps));
  all.emplace("openai", make_openai_provider(deps));
  all.emplace("comfyui", make_comfyui_provider(deps));
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
