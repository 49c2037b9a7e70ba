#include "openai_images.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/http_answer.hpp>
#include <rowcrew/vendors.hpp>

#include "preset_fields.hpp"

namespace rowcrew::generation {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestPrompt = 32'000;  // characters

bool is_size(std::string_view text) {
  if (text == "auto") return true;
  const auto x = text.find('x');
  if (x == text.npos) return false;
  int sides[2] = {0, 0};
  const std::string_view parts[2] = {text.substr(0, x), text.substr(x + 1)};
  for (int i = 0; i < 2; ++i) {
    const auto read = std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), sides[i]);
    if (read.ec != std::errc{} || read.ptr != parts[i].data() + parts[i].size()) return false;
    if (sides[i] < 16 || sides[i] > 3840 || sides[i] % 16 != 0) return false;
  }
  return sides[0] <= 3 * sides[1] && sides[1] <= 3 * sides[0];
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void add_field(std::string& body, const std::string& boundary, const std::string& key, const std::string& value) {
  body += fmt::format("--{}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{}\r\n", boundary, key, value);
}

Tokens tokens_of(const json& answer) {
  Tokens tokens;
  const auto usage = answer.find("usage");
  if (usage == answer.end() || !usage->is_object() || !usage->contains("output_tokens")) return tokens;
  tokens.known = true;
  const json in = usage->value("input_tokens_details", json());
  const json out = usage->value("output_tokens_details", json());
  tokens.image_input = count_at(in, "image_tokens");
  tokens.text_input = std::max<std::int64_t>(0, count_at(*usage, "input_tokens") - tokens.image_input);
  tokens.text_output = count_at(out, "text_tokens");
  tokens.image_output = std::max<std::int64_t>(0, count_at(*usage, "output_tokens") - tokens.text_output);
  return tokens;
}

}  // namespace

const std::string& OpenaiImages::name() const {
  static const std::string kName = "openai";
  return kName;
}

PictureOrder OpenaiImages::order(const Work& work) const {
  PresetFields fields(work.workflow);
  PictureOrder order;
  order.model = known_model(fields.text("model"), *this);
  order.prompt = fill_prompt(fields.text("prompt"), work.prompt);
  json options = json::object();
  const std::string size = fields.text("size");
  if (!size.empty() && !is_size(size)) {
    PresetFields::refuse("size", "auto, or width x height such as 1024x1536: multiples of 16 up to 3840, none more than three times the other");
  }
  if (!size.empty()) options["size"] = size;
  const std::string quality = fields.choice("quality", {"auto", "low", "medium", "high", "xhigh", "max"});
  if (!quality.empty()) options["quality"] = quality;
  const std::string background = fields.choice("background", {"auto", "transparent", "opaque"});
  if (!background.empty()) options["background"] = background;
  const std::string format = fields.choice("format", {"png", "jpeg", "webp"});
  if (background == "transparent" && format == "jpeg") PresetFields::refuse("format", "png or webp, since jpeg has no transparency");
  if (!format.empty()) options["output_format"] = format;
  order.options = options.dump();
  order.steps = fields.steps();
  fields.finish();
  if (characters(order.prompt) > kLongestPrompt) throw PermanentError("bad_payload", "prompt: longer than 32000 characters");
  return order;
}

HttpRequest OpenaiImages::request(const PictureOrder& order, const std::string& source, const CallName& call) const {
  HttpRequest request("POST", config.base_url + (source.empty() ? "/images/generations" : "/images/edits"));
  request.headers.emplace_back("Authorization", "Bearer " + config.api_key);
  request.headers.emplace_back("X-Client-Request-Id", call.id);
  if (!organization_.empty()) request.headers.emplace_back("OpenAI-Organization", organization_);
  if (!project_.empty()) request.headers.emplace_back("OpenAI-Project", project_);
  json fields = json::parse(order.options);
  fields["model"] = order.model;
  fields["prompt"] = order.prompt;
  fields["n"] = 1;
  if (source.empty()) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = fields.dump(-1, ' ', false, json::error_handler_t::replace);
    return request;
  }
  const std::string boundary = fmt::format("rowcrew-{:016x}", call.boundary);
  request.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + boundary);
  for (const auto& [key, value] : fields.items()) add_field(request.body, boundary, key, value.is_string() ? value.get<std::string>() : value.dump());
  request.body += fmt::format("--{}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n", boundary);
  request.file = source;
  request.tail = fmt::format("\r\n--{}--\r\n", boundary);
  return request;
}

ProviderVerdict OpenaiImages::judge(const HttpResponse& response, std::chrono::system_clock::time_point now) const {
  return judge_openai(response, now);
}

bool OpenaiImages::refused_after_work(const HttpResponse& response) const {
  const json body = json::parse(response.body, nullptr, false);
  if (response.status != 400 || !body.is_object()) return false;
  const json error = body.value("error", json());
  if (!error.is_object() || word_at(error, "code") != "moderation_blocked") return false;
  return word_at(error.value("moderation_details", json()), "moderation_stage") == "output";
}

std::string OpenaiImages::request_id(const HttpHeaders& headers) const { return std::string(header_of(headers, "x-request-id")); }

PictureAnswer OpenaiImages::read(const json& answer) const {
  PictureAnswer read;
  read.tokens = tokens_of(answer);
  const auto data = answer.find("data");
  if (data != answer.end() && data->is_array() && !data->empty() && holds_picture(data->front(), "b64_json")) {
    read.pointer = "/data/0/b64_json";
    return read;
  }
  read.code = "openai_no_picture";
  read.message = "openai: its answer holds no picture";
  read.repeats = 1;
  return read;
}

}  // namespace rowcrew::generation
