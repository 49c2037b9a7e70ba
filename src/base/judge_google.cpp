#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/retry_after.hpp>
#include <rowcrew/vendors.hpp>

#include "base/vendor_error.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Act = ProviderVerdict::Act;

constexpr std::chrono::seconds kLongestAsked = 24h;

/// What the list `details` adds.
struct Details {
  std::string reason;  ///< of ErrorInfo
  std::optional<std::chrono::milliseconds> delay;
  bool per_day = false;
};

bool is_per_day(const json& quota_failure) {
  const auto list = quota_failure.find("violations");
  if (list == quota_failure.end() || !list->is_array()) return false;
  return std::any_of(list->begin(), list->end(), [](const json& violation) {
    return text_at(violation, "quotaId").find("PerDay") != std::string::npos;
  });
}

Details details_of(const json& error) {
  Details all;
  const auto list = error.find("details");
  if (list == error.end() || !list->is_array()) return all;
  for (const json& item : *list) {
    if (!item.is_object()) continue;
    const std::string reason = text_at(item, "reason");
    if (!reason.empty()) all.reason = reason;
    if (const auto delay = parse_span(text_at(item, "retryDelay"))) all.delay = delay;
    all.per_day = all.per_day || is_per_day(item);
  }
  return all;
}

ProviderVerdict too_many(const HttpResponse& response, const Details& details, std::chrono::system_clock::time_point now) {
  if (details.per_day) {
    return {Act::wait, "gemini_day_used_up", "gemini: today's calls are used up, more at midnight in California", until_pacific_midnight(now)};
  }
  std::optional<std::chrono::milliseconds> wait = details.delay;
  if (!wait || *wait <= 0ms) wait = retry_after(response.headers, now, kLongestAsked);
  return {Act::wait, "gemini_rate_limited", "gemini: too many calls", wait.value_or(60s)};
}

ProviderVerdict refuses_us(const std::string& expected) {
  // Its own words name the key.
  return {Act::shut, "gemini_refuses_us", "gemini: refuses the key, expected " + expected};
}

ProviderVerdict by_words(const HttpResponse& response, const json& error, std::chrono::system_clock::time_point now) {
  const std::string status = text_at(error, "status");
  const Details details = details_of(error);
  const std::string words = provider_words(text_at(error, "message"));
  if (details.reason.starts_with("API_KEY_")) return refuses_us("one that is valid");
  if (status == "UNAUTHENTICATED" || status == "PERMISSION_DENIED") return refuses_us("one that may do this");
  if (status == "FAILED_PRECONDITION") return refuses_us("an account with billing, in a country that is served");
  if (response.status == 402) return {Act::shut, "gemini_quota", "gemini: the account has no balance left"};
  if (status == "NOT_FOUND") return {Act::shut, "gemini_model_unknown", "gemini: does not serve the model, expected one that it has: " + words};
  if (status == "RESOURCE_EXHAUSTED") return too_many(response, details, now);
  if (status == "UNAVAILABLE") {
    const auto asked = retry_after(response.headers, now, kLongestAsked);
    return {Act::again, "gemini_overloaded", "gemini: is overloaded", details.delay ? details.delay : asked};
  }
  ProviderVerdict verdict = judge_status("gemini", response, now);
  if (response.status == 404) return {Act::shut, "gemini_model_unknown", "gemini: does not serve the model, expected one that it has: " + words};
  if (response.status == 429) return too_many(response, details, now);
  if (verdict.act == Act::again && details.delay) verdict.wait = details.delay;
  if (verdict.act == Act::fail) {
    return {Act::fail, response.status == 400 ? "gemini_bad_request" : verdict.code, "gemini: refused the request: " + words};
  }
  return verdict;
}

}  // namespace

ProviderVerdict judge_google(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const bool answered = response.status >= 200 && response.status <= 299;
  const json error = answered ? json(nullptr) : error_object(response.body);
  return error.is_null() ? judge_status("gemini", response, now) : by_words(response, error, now);
}

}  // namespace rowcrew
