#include "image_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "preset_fields.hpp"

namespace rowcrew::generation {

using namespace std::chrono_literals;
using nlohmann::json;

std::optional<ImageApiConfig> read_image_api_config(const Settings& provider, const std::string& base_url,
                                                    std::chrono::milliseconds timeout) {
  constexpr std::uint64_t kMiB = 1U << 20;
  ImageApiConfig config;
  config.base_url = provider.text("base_url", base_url);
  config.timeout = provider.duration("timeout", timeout, 1s, 1h);
  config.max_side = provider.integer("max_side", 2048, 256, 8192);
  config.max_answer = provider.bytes("max_answer", 64 * kMiB, kMiB, 512 * kMiB);
  const std::optional<std::string> key = provider.secret("api_key");
  if (!key) {  // which comes by a credential, elsewhere: what stands here is right all the same
    if (!provider.section("models").names().empty()) static_cast<void>(read_models(provider));
    return std::nullopt;
  }
  config.api_key = *key;
  check_api_key(*key, provider);
  config.base_url = checked_base_url(config.base_url, provider);
  config.models = read_models(provider);
  return config;
}

void check_api_key(const std::string& key, const Settings& provider) {
  if (key.empty() || std::any_of(key.begin(), key.end(), [](unsigned char c) { return c <= ' ' || c > '~'; })) {
    throw ConfigError(provider.full("api_key") + ": expected one word of printable characters");
  }
}

std::string checked_base_url(std::string url, const Settings& provider) {
  const auto ends = url.find_last_not_of('/');
  url.resize(ends == std::string::npos ? 0 : ends + 1);
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    throw ConfigError(provider.full("base_url") + ": " + url + " found, expected an http or https URL");
  }
  return url;
}

std::int64_t count_at(const json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_integer()) return 0;
  // Beyond 10^12 tokens nobody counts; what is larger than the type would be negative.
  return std::clamp<std::int64_t>(at->is_number_unsigned() && at->get<std::uint64_t>() > 1'000'000'000'000U ? 1'000'000'000'000 : at->get<std::int64_t>(), 0,
                                  1'000'000'000'000);
}

std::string word_at(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool holds_picture(const json& object, const char* key) {
  if (!object.is_object()) return false;
  const auto at = object.find(key);
  if (at == object.end()) return false;
  return at->is_string() ? !at->get_ref<const std::string&>().empty() : at->is_object() && at->contains("$bytes");
}

std::string known_model(const std::string& model, const ImageApi& api) {
  if (api.config.models.find(model) != api.config.models.end()) return model;
  std::string names;
  for (const auto& [name, prices] : api.config.models) names += (names.empty() ? "" : ", ") + name;
  PresetFields::refuse("model", fmt::format("one that kinds.generation.{}.models names with its prices: {}", api.name(), names));
}

}  // namespace rowcrew::generation
