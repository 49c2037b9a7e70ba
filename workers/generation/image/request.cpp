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

}  // namespace

Request parse_request(std::string_view json_text) {
  const json whole = json::parse(json_text, nullptr, false);
  if (whole.is_discarded()) throw Failure(kCode, "request: is no JSON");
  JsonFields fields(whole, "request", kCode);
  Request request;
  if (const json* clean = fields.find("clean")) {
    request.only_clean = clean->is_boolean() && clean->get<bool>();
    request.target = path(fields, "target");
    fields.finish();
    return request;
  }
  request.source = path(fields, "source");
  request.part = path(fields, "part");
  request.target = path(fields, "target");
  const json* workflow = fields.find("workflow");
  request.workflow = parse_workflow(workflow == nullptr ? json() : *workflow);
  if (fields.find("limits") != nullptr) request.limits = parse_limits(fields.object("limits"));
  fields.finish();
  return request;
}

}  // namespace rowcrew::image
