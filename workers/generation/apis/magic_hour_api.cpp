#include "magic_hour_api.hpp"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/price.hpp>
#include <rowcrew/retry_after.hpp>
#include <rowcrew/vendors.hpp>

#include "image_api.hpp"
#include "preset_fields.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Act = ProviderVerdict::Act;

constexpr std::chrono::seconds kLongestAsked = 24h;

template <std::size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

HttpRequest request(const MagicHourConfig& config, const char* method, const std::string& path) {
  HttpRequest made(method, config.base_url + path);
  made.headers.emplace_back("Authorization", "Bearer " + config.api_key);
  made.timeout = config.timeout;
  return made;
}

HttpRequest post(const MagicHourConfig& config, const std::string& path, const json& body) {
  HttpRequest made = request(config, "POST", path);
  made.headers.emplace_back("Content-Type", "application/json");
  made.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return made;
}

// It becomes a part of a URL.
bool is_id(const std::string& text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

ProviderVerdict judge_error(const json& answer) {
  static constexpr std::string_view kAgain[] = {"unknown_error", "processing_timeout"};
  static constexpr std::string_view kOurs[] = {"no_source_face", "invalid_file_format", "file_too_large", "invalid_parameters"};
  const json error = answer.value("error", json());
  const std::string code = word_at(error, "code");
  const std::string words = provider_words(word_at(error, "message"));
  if (code == "content_policy_violation") return {Act::fail, std::string(kContentPolicy), "magic_hour: refused by its policy: " + words};
  if (code == "insufficient_credits") return {Act::shut, "magic_hour_quota", "magic_hour: the account has no credits left"};
  if (is_one_of(code, kOurs)) return {Act::fail, "magic_hour_" + code, "magic_hour: made no picture: " + words};
  if (is_one_of(code, kAgain)) return {Act::again, "magic_hour_" + code, "magic_hour: made no picture: " + words};
  return {Act::fail, "magic_hour_failed", "magic_hour: made no picture: " + words};
}

}  // namespace

std::optional<MagicHourConfig> read_magic_hour_config(const Settings& section) {
  constexpr std::uint64_t kMiB = 1U << 20;
  MagicHourConfig config;
  config.base_url = section.text("base_url", "https://api.magichour.ai");
  config.timeout = section.duration("timeout", 30s, 1s, 10min);
  config.transfer_timeout = section.duration("transfer_timeout", 2min, 1s, 1h);
  config.render_timeout = section.duration("render_timeout", 10min, 10s, 24h);
  config.poll_every = section.duration("poll_every", 3s, 100ms, 1min);
  config.max_side = section.integer("max_side", 4096, 256, 8192);
  config.max_answer = section.bytes("max_answer", 64 * kMiB, kMiB, 512 * kMiB);
  config.micros_per_credit = read_price(section, "credit");
  const std::optional<std::string> key = section.secret("api_key");
  if (!key) return std::nullopt;
  config.api_key = *key;
  check_api_key(*key, section);
  config.base_url = checked_base_url(config.base_url, section);
  return config;
}

HeadshotOrder headshot_order(const Work& work) {
  PresetFields fields(work.workflow);
  HeadshotOrder order;
  const std::string prompt = fields.text("prompt");
  order.steps = fields.steps();
  fields.finish();
  if (work.source.empty()) throw PermanentError("bad_payload", "source: expected the picture of a face, which magic_hour makes a headshot of");
  if (prompt.empty() && !work.prompt.empty()) {
    throw PermanentError("bad_payload", "prompt: expected none, since the preset has no place for it, which is \"{prompt}\"");
  }
  if (!prompt.empty()) order.prompt = fill_prompt(prompt, work.prompt);
  return order;
}

HttpRequest ask_for_upload(const MagicHourConfig& config) {
  return post(config, "/v1/files/upload-urls", json::parse(R"({"items":[{"type":"image","extension":"jpg"}]})"));
}

HttpRequest ask_for_headshot(const MagicHourConfig& config, const HeadshotOrder& order, const std::string& file_path, const std::string& name) {
  json body = {{"name", name}, {"assets", {{"image_file_path", file_path}}}};
  if (!order.prompt.empty()) body["style"] = {{"prompt", order.prompt}};
  return post(config, "/v1/ai-headshot-generator", body);
}

HttpRequest ask_for_state(const MagicHourConfig& config, const std::string& id) { return request(config, "GET", "/v1/image-projects/" + id); }

ProviderVerdict judge_magic_hour(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const json body = json::parse(response.body, nullptr, false);
  const std::string words = provider_words(word_at(body, "message"));
  switch (response.status) {
    case 400:
    case 422: return {Act::fail, "magic_hour_bad_request", "magic_hour: refused the request: " + words};
    case 402: return {Act::shut, "magic_hour_quota", "magic_hour: the account has no credits left"};
    case 429:
      return {Act::wait, "magic_hour_rate_limited", "magic_hour: too many calls", retry_after(response.headers, now, kLongestAsked).value_or(5s)};
    default: return judge_status("magic_hour", response, now);
  }
}

std::optional<Upload> read_upload(const json& answer) {
  if (!answer.is_object()) return std::nullopt;
  const auto items = answer.find("items");
  if (items == answer.end() || !items->is_array() || items->empty()) return std::nullopt;
  Upload upload;
  upload.url = word_at(items->front(), "upload_url");
  upload.file_path = word_at(items->front(), "file_path");
  if (upload.url.empty() || upload.file_path.empty() || upload.file_path.size() > 1000) return std::nullopt;
  return upload;
}

Headshot read_headshot(const json& answer) {
  Headshot shot;
  if (!answer.is_object()) return shot;
  const std::string id = word_at(answer, "id");
  if (is_id(id)) shot.id = id;
  if (answer.contains("credits_charged")) shot.credits = count_at(answer, "credits_charged");
  const std::string status = word_at(answer, "status");
  shot.over = status == "complete" || status == "error" || status == "canceled";
  if (status == "error") shot.verdict = judge_error(answer);
  if (status == "canceled") shot.verdict = {Act::fail, "magic_hour_canceled", "magic_hour: somebody cancelled it there"};
  if (status != "complete") return shot;
  const auto downloads = answer.find("downloads");
  if (downloads != answer.end() && downloads->is_array() && !downloads->empty()) shot.url = word_at(downloads->front(), "url");
  if (shot.url.empty()) shot.verdict = {Act::again, "magic_hour_no_picture", "magic_hour: is done, and has no picture"};
  return shot;
}

}  // namespace rowcrew::generation
