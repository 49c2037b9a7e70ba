#include "gemini_images.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include <rowcrew/vendors.hpp>

#include "preset_fields.hpp"

namespace rowcrew::generation {
namespace {

using nlohmann::json;

constexpr std::string_view kHarms[] = {"harassment", "hate_speech", "sexually_explicit", "dangerous_content", "civic_integrity"};
constexpr std::string_view kThresholds[] = {"BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"};

template <std::size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

json safety_of(PresetFields& fields) {
  json settings = json::array();
  const json asked = fields.object("safety");
  if (asked.is_null()) return settings;
  for (const auto& [harm, threshold] : asked.items()) {
    if (!is_one_of(harm, kHarms)) PresetFields::refuse("safety", "harassment, hate_speech, sexually_explicit, dangerous_content or civic_integrity");
    if (!threshold.is_string() || !is_one_of(threshold.get_ref<const std::string&>(), kThresholds)) {
      PresetFields::refuse("safety." + harm, "BLOCK_LOW_AND_ABOVE, BLOCK_MEDIUM_AND_ABOVE, BLOCK_ONLY_HIGH, BLOCK_NONE or OFF");
    }
    std::string category = "HARM_CATEGORY_" + harm;
    std::transform(category.begin(), category.end(), category.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    json setting = {{"category", category}, {"threshold", threshold}};
    settings.push_back(std::move(setting));
  }
  return settings;
}

const json& member(const json& object, const char* key) {
  static const json kNone;
  if (!object.is_object()) return kNone;
  const auto at = object.find(key);
  return at == object.end() ? kNone : *at;
}

const json& first_of(const json& list) {
  static const json kNone;
  return list.is_array() && !list.empty() ? list.front() : kNone;
}

std::int64_t of_modality(const json& details, std::string_view modality) {
  if (!details.is_array()) return 0;
  std::int64_t sum = 0;
  for (const json& item : details) {
    if (word_at(item, "modality") == modality) sum += count_at(item, "tokenCount");
  }
  return sum;
}

Tokens tokens_of(const json& answer, bool has_picture) {
  Tokens tokens;
  const json& usage = member(answer, "usageMetadata");
  if (!usage.is_object() || (!usage.contains("promptTokenCount") && !usage.contains("totalTokenCount"))) return tokens;
  tokens.known = true;
  tokens.image_input = of_modality(member(usage, "promptTokensDetails"), "IMAGE");
  tokens.text_input = std::max<std::int64_t>(0, count_at(usage, "promptTokenCount") - tokens.image_input);
  const std::int64_t made = count_at(usage, "candidatesTokenCount");
  const json& details = member(usage, "candidatesTokensDetails");
  // Without details the tokens of a picture are nearly all of them.
  const std::int64_t pictures = details.is_array() ? of_modality(details, "IMAGE") : has_picture ? made : 0;
  tokens.image_output = std::min(pictures, made);
  tokens.text_output = made - tokens.image_output + count_at(usage, "thoughtsTokenCount");
  return tokens;
}

/// Drafts of a model that thinks come first, and are marked.
std::string last_picture(const json& candidate) {
  const json& parts = member(member(candidate, "content"), "parts");
  if (!parts.is_array()) return {};
  for (std::size_t i = parts.size(); i-- > 0;) {
    const json& part = parts[i];
    if (member(part, "thought") == json(true) || !holds_picture(member(part, "inlineData"), "data")) continue;
    return "/candidates/0/content/parts/" + std::to_string(i) + "/inlineData/data";
  }
  return {};
}

std::string text_of(const json& candidate) {
  std::string text;
  const json& parts = member(member(candidate, "content"), "parts");
  if (!parts.is_array()) return text;
  for (const json& part : parts) {
    if (member(part, "thought") != json(true)) text += word_at(part, "text");
  }
  return provider_words(text);
}

void refuse(PictureAnswer& read, std::string_view code, std::string message, int repeats) {
  read.pointer.clear();
  read.code = code;
  read.message = std::move(message);
  read.repeats = repeats;
}

}  // namespace

const std::string& GeminiImages::name() const {
  static const std::string kName = "gemini";
  return kName;
}

PictureOrder GeminiImages::order(const Work& work) const {
  PresetFields fields(work.workflow);
  PictureOrder order;
  order.model = known_model(fields.text("model"), *this);
  order.prompt = fill_prompt(fields.text("prompt"), work.prompt);
  json image = json::object();
  const std::string ratio = fields.choice("aspect_ratio", {"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"});
  if (!ratio.empty()) image["aspectRatio"] = ratio;
  const std::string size = fields.choice("image_size", {"1K", "2K", "4K"});
  if (!size.empty()) image["imageSize"] = size;
  json options = {{"imageConfig", std::move(image)}, {"safetySettings", safety_of(fields)}};
  order.options = options.dump();
  order.steps = fields.steps();
  fields.finish();
  return order;
}

HttpRequest GeminiImages::request(const PictureOrder& order, const std::string& source, const CallName& call) const {
  HttpRequest request("POST", config.base_url + "/v1beta/models/" + order.model + ":generateContent");
  request.headers.emplace_back("x-goog-api-key", config.api_key);
  request.headers.emplace_back("Content-Type", "application/json");
  const json options = json::parse(order.options);
  json generation = {{"responseModalities", json::array({"TEXT", "IMAGE"})}, {"seed", call.seed}};
  if (!options["imageConfig"].empty()) generation["imageConfig"] = options["imageConfig"];
  json rest = {{"generationConfig", std::move(generation)}};
  if (!options["safetySettings"].empty()) rest["safetySettings"] = options["safetySettings"];
  // The picture's text goes between the two halves.
  const std::string words = json(order.prompt).dump(-1, ' ', false, json::error_handler_t::replace);
  request.body = R"({"contents":[{"role":"user","parts":[{"text":)" + words + "}";
  std::string end = "]}]," + rest.dump().substr(1);
  if (source.empty()) {
    request.body += end;
    return request;
  }
  request.body += R"(,{"inlineData":{"mimeType":"image/jpeg","data":")";
  request.file = source;
  request.tail = R"("}})" + end;
  return request;
}

ProviderVerdict GeminiImages::judge(const HttpResponse& response, std::chrono::system_clock::time_point now) const {
  return judge_google(response, now);
}

PictureAnswer GeminiImages::read(const json& answer) const {
  static constexpr std::string_view kBlocked[] = {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "SAFETY", "BLOCKLIST",
                                                  "SPII", "RECITATION", "IMAGE_RECITATION"};
  static constexpr std::string_view kNone[] = {"NO_IMAGE", "IMAGE_OTHER", "OTHER", "LANGUAGE"};
  PictureAnswer read;
  const json& candidate = first_of(member(answer, "candidates"));
  read.pointer = last_picture(candidate);
  read.external_id = provider_words(word_at(answer, "responseId"));
  read.tokens = tokens_of(answer, !read.pointer.empty());
  const std::string blocked = provider_words(word_at(member(answer, "promptFeedback"), "blockReason"));
  const std::string finish = provider_words(word_at(candidate, "finishReason"));
  if (!blocked.empty() && !candidate.is_object()) {
    refuse(read, kContentPolicy, "gemini: refused the prompt by its policy: " + blocked, 0);
  } else if (is_one_of(finish, kBlocked)) {
    refuse(read, kContentPolicy, "gemini: withheld the picture by its policy: " + finish, 1);
  } else if (finish == "MAX_TOKENS") {
    refuse(read, "gemini_cut_off", "gemini: ran out of tokens before the picture was done", 0);
  } else if (is_one_of(finish, kNone)) {
    refuse(read, "gemini_no_picture", "gemini: made no picture: " + finish, 2);
  } else if (read.pointer.empty()) {
    const std::string said = text_of(candidate);
    refuse(read, "gemini_no_picture", "gemini: made no picture" + (said.empty() ? "" : ", and said: " + said), 1);
  }
  return read;
}

}  // namespace rowcrew::generation
