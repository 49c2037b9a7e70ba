#include "gemini_provider.hpp"

#include <rowcrew/deps.hpp>

#include "gemini_images.hpp"
#include "image_api_provider.hpp"

namespace rowcrew::generation {

using namespace std::chrono_literals;

std::unique_ptr<Provider> make_gemini_provider(const Deps& deps) {
  const Settings section = deps.kinds.section("generation").section("gemini");
  std::optional<ImageApiConfig> config = read_image_api_config(section, "https://generativelanguage.googleapis.com", 3min);
  if (!config) return nullptr;
  return std::make_unique<ImageApiProvider>(deps, std::make_unique<GeminiImages>(std::move(*config)));
}

}  // namespace rowcrew::generation
