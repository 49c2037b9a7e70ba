#include "request.hpp"

#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "json_fields.hpp"

namespace rowcrew::image {
namespace {

using nlohmann::json;

constexpr const char* kCode = "bad_request";

std::string path(JsonFields& fields, const char* key) {
  std::string text = fields.text(key);
  if (text.size() < 2 || text.front() != '/' || text.back() == '/' ||
      text.find('\0') != text.npos) {
    throw Failure(kCode, std::string("request: ") + key + ": expected the absolute path of a file");
  }
  return text;
}

Limits parse_limits(const json& object) {
  Limits limits;
  JsonFields fields(object, "limits", kCode);
  const auto most = static_cast<long long>(1) << 40;
  limits.max_pixels = static_cast<std::uint64_t>(
      fields.integer("max_pixels", static_cast<long long>(limits.max_pixels), 1, most));
  limits.max_side = static_cast<int>(fields.integer("max_side", limits.max_side, 1, 10'000'000));
  limits.max_bytes = static_cast<std::uint64_t>(
      fields.integer("max_bytes", static_cast<long long>(limits.max_bytes), 1, most));
  fields.finish();
  return limits;
}

bool says_yes(const json& value) {
  return value.is_boolean() && value.get<bool>();
}

Format format_named(const std::string& name) {
  if (name == "jpeg") return Format::jpeg;
  return name == "png" ? Format::png : Format::webp;
}

void parse_prepare(JsonFields& fields, Request& request) {
  JsonFields how(fields.object("prepare"), "prepare", kCode);
  const int side = static_cast<int>(how.integer("max_side", 64, 16000));
  request.what = Request::What::prepare;
  request.format = format_named(how.choice("format", "jpeg", {"jpeg", "png"}));
  request.workflow.framing = Fit{side, side};
  const json* text = how.find("base64");
  request.base64 = text != nullptr && says_yes(*text);
  how.finish();
}

void parse_develop(JsonFields& fields, Request& request) {
  if (fields.find("pointer") != nullptr) request.pointer = fields.text("pointer");
  if (fields.find("format") != nullptr) {
    request.format = format_named(fields.choice("format", "jpeg", {"jpeg", "png", "webp"}));
  }
  const json* consume = fields.find("consume");
  request.consume = consume != nullptr && says_yes(*consume);
  if (const json* workflow = fields.find("workflow")) request.workflow = parse_workflow(*workflow);
}

}  // namespace

Request parse_request(std::string_view json_text) {
  const json whole = json::parse(json_text, nullptr, false);
  if (whole.is_discarded()) throw Failure(kCode, "request: is no JSON");
  JsonFields fields(whole, "request", kCode);
  Request request;
  if (const json* clean = fields.find("clean"); clean != nullptr && says_yes(*clean)) {
    request.what = Request::What::clean;
    request.target = path(fields, "target");
    fields.finish();
    return request;
  }
  if (const json* check = fields.find("check"); check != nullptr && says_yes(*check)) {
    request.what = Request::What::check;
    const json* workflow = fields.find("workflow");
    request.workflow = parse_workflow(workflow == nullptr ? json() : *workflow);
    fields.finish();
    return request;
  }
  request.source = path(fields, "source");
  if (fields.find("limits") != nullptr) request.limits = parse_limits(fields.object("limits"));
  if (const json* skim = fields.find("skim"); skim != nullptr && says_yes(*skim)) {
    request.what = Request::What::skim;
    fields.finish();
    return request;
  }
  request.part = path(fields, "part");
  request.target = path(fields, "target");
  if (fields.find("prepare") != nullptr) {
    parse_prepare(fields, request);
  } else {
    parse_develop(fields, request);
  }
  fields.finish();
  return request;
}

}  // namespace rowcrew::image
