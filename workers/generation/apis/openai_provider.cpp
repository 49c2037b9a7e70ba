#include "openai_provider.hpp"

#include <rowcrew/deps.hpp>

#include "image_api_provider.hpp"
#include "openai_images.hpp"

namespace rowcrew::generation {

using namespace std::chrono_literals;

std::unique_ptr<Provider> make_openai_provider(const Deps& deps) {
  const Settings section = deps.kinds.section("generation").section("openai");
  std::string organization = section.text("organization", "");
  std::string project = section.text("project", "");
  std::optional<ImageApiConfig> config = read_image_api_config(section, "https://api.openai.com/v1", 5min);
  if (!config) return nullptr;
  auto api = std::make_unique<OpenaiImages>(std::move(*config), std::move(organization), std::move(project));
  return std::make_unique<ImageApiProvider>(deps, std::move(api));
}

}  // namespace rowcrew::generation
