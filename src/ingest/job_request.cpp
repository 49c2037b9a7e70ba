#include "ingest/job_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>
#include <vector>

#include "base/config.hpp"
#include "base/units.hpp"
#include "ingest/json_scan.hpp"
#include "ingest/refused.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

constexpr unsigned kPayloadDepth = 64;
constexpr std::size_t kMaxJobType = 100;
constexpr std::size_t kMaxQueue = 63;
// In the database the API key's name stands before it, of up to 100 characters, and a colon: 300 in all.
constexpr std::size_t kMaxUniqueKey = 199;
constexpr std::size_t kMaxTenant = 100;
constexpr milliseconds kMaxDelay = std::chrono::hours{24 * 3650};

constexpr std::array<std::string_view, 7> kFields = {"job_type", "payload",    "queue", "priority",
                                                     "delay",    "unique_key", "tenant"};

[[noreturn]] void refuse_field(std::string_view field, std::string_view found,
                               std::string_view expected) {
  throw Refused(400, "bad_request", fmt::format("{}: {}, expected {}", field, found, expected));
}

std::vector<JsonMember> members_of(std::string_view body) {
  JsonLimits limits;
  limits.depth = kPayloadDepth + 1;
  try {
    return scan_json_object(body, limits);
  } catch (const PermanentError& e) {
    throw Refused(400, "bad_request", fmt::format("body: {}", e.what()));
  }
}

/// Known fields only, each at most once.
void check_names(const std::vector<JsonMember>& members) {
  for (auto at = members.begin(); at != members.end(); ++at) {
    if (std::find(kFields.begin(), kFields.end(), at->name) == kFields.end()) {
      refuse_field(shown(at->name), "unknown field",
                   "job_type, payload, queue, priority, delay, unique_key or tenant");
    }
    const auto same = [at](const JsonMember& other) { return other.name == at->name; };
    if (std::any_of(members.begin(), at, same)) refuse_field(at->name, "given twice", "it once");
  }
}

/// Nullopt: absent or null.
std::optional<std::string_view> find_value(const std::vector<JsonMember>& members,
                                           std::string_view name) {
  for (const JsonMember& member : members) {
    if (member.name == name && json_kind(member.value) != JsonKind::null) return member.value;
  }
  return std::nullopt;
}

std::optional<std::string> find_text(const std::vector<JsonMember>& members,
                                     std::string_view name) {
  const auto value = find_value(members, name);
  if (!value) return std::nullopt;
  const JsonKind kind = json_kind(*value);
  if (kind != JsonKind::string) refuse_field(name, json_kind_name(kind), "a text");
  return decode_json_string(*value);
}

std::string read_job_type(const std::vector<JsonMember>& members) {
  constexpr std::string_view kExpected = "1 to 100 visible ASCII characters";
  const auto text = find_text(members, "job_type");
  if (!text) refuse_field("job_type", "missing", "the type of the job");
  const bool visible =
      std::all_of(text->begin(), text->end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (text->empty() || text->size() > kMaxJobType || !visible) {
    refuse_field("job_type", shown(*text), kExpected);
  }
  return *text;
}

std::string read_payload(const std::vector<JsonMember>& members) {
  const auto value = find_value(members, "payload");
  if (!value) refuse_field("payload", "missing", "an object");
  const JsonKind kind = json_kind(*value);
  if (kind != JsonKind::object) refuse_field("payload", json_kind_name(kind), "an object");
  return std::string(*value);
}

std::optional<std::string> read_queue(const std::vector<JsonMember>& members) {
  const auto text = find_text(members, "queue");
  if (!text) return std::nullopt;
  const auto first = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto later = [first](char c) { return first(c) || c == '_' || c == '.' || c == '-'; };
  if (text->empty() || text->size() > kMaxQueue || !first(text->front()) ||
      !std::all_of(text->begin(), text->end(), later)) {
    refuse_field("queue", shown(*text),
                 "up to 63 of a-z, 0-9, '_', '.' and '-', the first a-z or 0-9");
  }
  return text;
}

std::optional<int> read_priority(const std::vector<JsonMember>& members) {
  constexpr std::string_view kExpected = "a whole number, 0 (first) to 9";
  const auto value = find_value(members, "priority");
  if (!value) return std::nullopt;
  const JsonKind kind = json_kind(*value);
  if (kind != JsonKind::number) refuse_field("priority", json_kind_name(kind), kExpected);
  const auto scanned = scan_integer(*value);
  const auto* number = std::get_if<std::int64_t>(&scanned);
  if (number == nullptr || *number < 0 || *number > 9) {
    refuse_field("priority", shown(*value), kExpected);
  }
  return static_cast<int>(*number);
}

std::optional<milliseconds> read_delay(const std::vector<JsonMember>& members) {
  const std::string expected =
      fmt::format("a duration such as \"10m\", at most {}", format_duration(kMaxDelay));
  const auto value = find_value(members, "delay");
  if (!value) return std::nullopt;
  const JsonKind kind = json_kind(*value);
  if (kind != JsonKind::string) refuse_field("delay", json_kind_name(kind), expected);
  const std::string text = decode_json_string(*value);
  const auto scanned = scan_duration(text);
  if (const auto* complaint = std::get_if<Complaint>(&scanned)) {
    refuse_field("delay", fmt::format("{} {}", shown(text), *complaint), expected);
  }
  const auto delay = std::get<milliseconds>(scanned);
  if (delay > kMaxDelay) refuse_field("delay", shown(text), expected);
  return delay;
}

/// A name of the caller's own.
std::optional<std::string> read_name(const std::vector<JsonMember>& members, std::string_view field, std::size_t longest) {
  const auto text = find_text(members, field);
  if (!text) return std::nullopt;
  const auto is_control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
  const auto starts_character = [](char c) { return (c & 0xc0) != 0x80; };
  const auto characters = std::count_if(text->begin(), text->end(), starts_character);
  if (text->empty() || characters > static_cast<std::ptrdiff_t>(longest) ||
      std::any_of(text->begin(), text->end(), is_control)) {
    refuse_field(field, shown(*text), fmt::format("1 to {} characters, no control characters", longest));
  }
  return text;
}

}  // namespace

JobRequest parse_job_request(std::string_view body) {
  const auto members = members_of(body);
  check_names(members);
  JobRequest request;
  request.job_type = read_job_type(members);
  request.payload = read_payload(members);
  request.queue = read_queue(members);
  request.priority = read_priority(members);
  request.delay = read_delay(members);
  request.unique_key = read_name(members, "unique_key", kMaxUniqueKey);
  request.tenant = read_name(members, "tenant", kMaxTenant);
  return request;
}

}  // namespace rowcrew
