#include "reading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/provider_verdict.hpp>

namespace rowcrew::text {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostTokens = 1'000'000'000'000;
constexpr std::size_t kMostWord = 200;
constexpr int kDeepest = 100;  // a database reads a thousand levels more, and nothing that is meant has ten

std::int64_t tokens_of(std::size_t bytes) { return static_cast<std::int64_t>((bytes + 3) / 4); }

/// The text as JSON that a database can store; discarded where it is none.
json parse_answer(const std::string& text) {
  bool too_deep = false;
  const auto shallow = [&too_deep](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kDeepest;
    return !too_deep;
  };
  json parsed = json::parse(text, shallow, false);
  if (too_deep || parsed.is_discarded()) return json(json::value_t::discarded);
  if (parsed.dump().find("\\u0000") != std::string::npos) return json(json::value_t::discarded);
  return parsed;
}

std::string result_of(const Reading& reading, const Order& order, std::int64_t cost) {
  json result = json::object();
  json parsed(json::value_t::discarded);
  if (!order.json_schema.empty()) parsed = parse_answer(reading.text);
  if (parsed.is_discarded()) {
    std::string text = reading.text;
    text.erase(std::remove(text.begin(), text.end(), '\0'), text.end());  // no database stores them
    result["text"] = std::move(text);
  } else {
    result["json"] = std::move(parsed);
  }
  result["stop"] = reading.stop;
  result["model"] = reading.model.empty() ? order.model : reading.model;
  result["cost_micros"] = cost;
  result["usage"] = json{{"input", reading.usage.input}, {"cached", reading.usage.cached}, {"output", reading.usage.output}};
  if (!reading.usage.told) result["usage"]["estimated"] = true;
  return result.dump();
}

}  // namespace

std::string word_at(const json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || at == object.end() || !at->is_string()) return {};
  return provider_words(at->get_ref<const std::string&>().substr(0, kMostWord));
}

std::int64_t count_at(const json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || at == object.end() || !at->is_number()) return 0;
  const double count = at->get<double>();
  return count > 0 ? static_cast<std::int64_t>(std::min(count, static_cast<double>(kMostTokens))) : 0;
}

const json& object_at(const json& object, const char* key) {
  static const json kNone = json::object();
  if (!object.is_object()) return kNone;
  const auto at = object.find(key);
  return at != object.end() && at->is_object() ? *at : kNone;
}

Usage estimate(const Order& order, std::int64_t output) {
  Usage usage;
  usage.input = tokens_of(order.bytes());
  usage.output = output;
  return usage;
}

void complete_usage(Reading& reading, const Order& order) {
  if (reading.usage.told) return;
  const bool all = reading.end == Reading::End::cut || reading.end == Reading::End::unreadable;
  reading.usage = estimate(order, all ? order.max_tokens : std::min(order.max_tokens, tokens_of(reading.text.size())));
}

Outcome outcome_of(const Reading& reading, const Order& order, std::int64_t cost) {
  const std::string& provider = order.provider;
  switch (reading.end) {
    case Reading::End::whole: return Completed(result_of(reading, order, cost));
    case Reading::End::refused:
      return Failed(provider + "_refused", fmt::format("{}: the model refuses what the prompt asks for{}", provider,
                                                       reading.because.empty() ? "" : " (" + reading.because + ")"));
    case Reading::End::filtered: return Failed(provider + "_filtered", provider + ": a filter of its policy took the answer away");
    case Reading::End::cut:
      return Failed(provider + "_cut", fmt::format("{}: the answer ended with {} before it was whole, expected more than {} max_tokens for it",
                                                   provider, reading.stop, order.max_tokens));
    case Reading::End::paused: return Failed(provider + "_paused", provider + ": the answer wants to be continued in another call");
    case Reading::End::unexpected:
      return Failed(provider + "_unexpected",
                    fmt::format("{}: the answer ended with {}, expected text", provider, reading.stop.empty() ? "no reason" : reading.stop));
    case Reading::End::empty: return Retry(provider + "_empty", provider + ": answered with no text");
    case Reading::End::unreadable: break;
  }
  return Retry(provider + "_unreadable", provider + ": answered 200 with something else than its documentation says");
}

}  // namespace rowcrew::text
