#include "order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/error.hpp>
#include <rowcrew/provider_verdict.hpp>

namespace rowcrew::text {
namespace {

using nlohmann::json;

constexpr std::size_t kMostMessages = 1000;
constexpr std::size_t kMostStops = 4;
constexpr std::size_t kQuoted = 20;
constexpr std::size_t kShortest = 8;  // a prompt of less says nothing that must not be seen
constexpr std::size_t kFilter = 65'521;

constexpr std::string_view kKeys[] = {"provider", "model",       "system",      "prompt", "messages",
                                      "max_tokens", "temperature", "json_schema", "stop"};

/// Calls `found` with a hash of each kQuoted bytes running, until it says true. One look per byte: a prompt may have megabytes.
template <class Found>
bool roll(std::string_view text, Found found) {
  constexpr std::uint64_t kBase = 1'099'511'628'211U;
  if (text.size() < kQuoted) return false;
  const auto byte = [text](std::size_t at) { return static_cast<std::uint64_t>(static_cast<unsigned char>(text[at])) + 1; };
  std::uint64_t hash = 0;
  std::uint64_t first = 1;  // what the first byte of a window counts
  for (std::size_t at = 0; at < kQuoted; ++at) {
    hash = hash * kBase + byte(at);
    if (at > 0) first *= kBase;
  }
  for (std::size_t next = kQuoted;; ++next) {
    if (found(hash)) return true;
    if (next == text.size()) return false;
    hash = (hash - byte(next - kQuoted) * first) * kBase + byte(next);
  }
}

/// The payload of a row of processing_jobs as that of a job of job_queue.
json of_columns(const json& row) {
  const auto inputs = row.find("inputs");
  json payload = inputs != row.end() && inputs->is_object() ? *inputs : json::object();
  for (const char* column : {"provider", "prompt"}) {
    if (payload.contains(column)) refuse(fmt::format("inputs.{}", column), fmt::format("unknown, expected it in the column {}", column));
    const auto at = row.find(column);
    if (at != row.end() && !at->is_null()) payload[column] = *at;
  }
  return payload;
}

void check_keys(const json& object, const std::string& above) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      refuse(above + provider_words(key.substr(0, 64)),  // a stranger's: one line of UTF-8
             "unknown, expected one of provider, model, system, prompt, messages, max_tokens, temperature, json_schema, stop");
    }
  }
}

/// Not empty.
std::string text_of(const json& payload, const char* key, const char* what) {
  const auto at = payload.find(key);
  if (at == payload.end() || !at->is_string() || at->get_ref<const std::string&>().empty()) refuse(key, what);
  return at->get<std::string>();
}

std::vector<Message> messages_of(const json& payload) {
  std::vector<Message> found;
  if (payload.contains("prompt") == payload.contains("messages")) refuse("prompt", "expected it or messages, one of both");
  if (payload.contains("prompt")) {
    Message only;
    only.role = "user";
    only.content = text_of(payload, "prompt", "expected a text that is not empty");
    found.push_back(std::move(only));
    return found;
  }
  const json& list = payload["messages"];
  if (!list.is_array() || list.empty() || list.size() > kMostMessages) refuse("messages", "expected a list of 1 to 1000 messages");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& one = list[i];
    const std::string field = fmt::format("messages[{}]", i);
    if (!one.is_object() || one.size() != 2 || !one.contains("role") || !one.contains("content")) {
      refuse(field, R"(expected {"role", "content"} and nothing else)");
    }
    if (one["role"] != "user" && one["role"] != "assistant") refuse(field + ".role", "expected user or assistant");
    if (!one["content"].is_string() || one["content"] == "") refuse(field + ".content", "expected a text that is not empty");
    Message message;
    message.role = one["role"].get<std::string>();
    message.content = one["content"].get<std::string>();
    found.push_back(std::move(message));
  }
  if (found.back().role != "user") refuse("messages", "expected the last one to be the user's");
  return found;
}

std::vector<std::string> stops_of(const json& payload) {
  const auto at = payload.find("stop");
  if (at == payload.end() || at->is_null()) return {};
  json list = json::array();
  if (at->is_array()) {
    list = *at;
  } else {
    list.push_back(*at);
  }
  const bool texts = std::all_of(list.begin(), list.end(), [](const json& one) { return one.is_string() && one != ""; });
  if (!texts || list.empty() || list.size() > kMostStops) refuse("stop", "expected a text, or a list of 1 to 4 texts");
  return list.get<std::vector<std::string>>();
}

}  // namespace

void refuse(std::string_view field, std::string_view sentence) {
  throw PermanentError("bad_payload", fmt::format("text payload: {}: {}", field, sentence));
}

std::size_t Order::bytes() const {
  std::size_t sum = system.size() + json_schema.size();
  for (const Message& message : messages) sum += message.content.size();
  return sum;
}

bool Order::is_quoted_in(std::string_view words) const {
  std::vector<std::uint64_t> windows;
  roll(words, [&](std::uint64_t hash) { windows.push_back(hash); return false; });
  std::sort(windows.begin(), windows.end());
  std::bitset<kFilter> filter;
  for (const std::uint64_t hash : windows) filter.set(hash % kFilter);
  const auto quotes = [&](std::string_view sent) {
    if (sent.size() < kQuoted) return sent.size() >= kShortest && words.find(sent) != words.npos;
    return roll(sent, [&](std::uint64_t hash) { return filter.test(hash % kFilter) && std::binary_search(windows.begin(), windows.end(), hash); });
  };
  return quotes(system) || std::any_of(messages.begin(), messages.end(), [&](const Message& m) { return quotes(m.content); });
}

Order parse_order(const json& given, bool columns) {
  json merged;
  if (columns) merged = of_columns(given);
  const json& payload = columns ? std::as_const(merged) : given;
  check_keys(payload, columns ? "inputs." : "");
  Order order;
  order.provider = text_of(payload, "provider", "expected openai or anthropic");
  if (order.provider != "openai" && order.provider != "anthropic") refuse("provider", "expected openai or anthropic");
  order.model = text_of(payload, "model", "expected the name of a model");
  if (order.model.size() > 200) refuse("model", "is longer than 200 bytes");
  if (payload.contains("system") && !payload["system"].is_null()) order.system = text_of(payload, "system", "expected a text that is not empty");
  order.messages = messages_of(payload);
  const auto most = payload.find("max_tokens");
  if (most == payload.end() || !most->is_number_integer() || *most < 1 || *most > 1'000'000'000) {
    refuse("max_tokens", "expected a whole number from 1 on");
  }
  order.max_tokens = most->get<std::int64_t>();
  if (payload.contains("temperature") && !payload["temperature"].is_null()) {
    const json& warm = payload["temperature"];
    const double highest = order.provider == "anthropic" ? 1 : 2;
    if (!warm.is_number() || warm < 0 || warm > highest) refuse("temperature", fmt::format("expected a number from 0 to {}", highest));
    order.temperature = warm.get<double>();
  }
  if (payload.contains("json_schema") && !payload["json_schema"].is_null()) {
    if (!payload["json_schema"].is_object()) refuse("json_schema", "expected an object");
    order.json_schema = payload["json_schema"].dump();
  }
  order.stop = stops_of(payload);
  return order;
}

}  // namespace rowcrew::text
