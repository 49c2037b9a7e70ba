#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/retry_after.hpp>
#include <rowcrew/vendors.hpp>

#include <rowcrew/http_answer.hpp>
#include "base/vendor_error.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLongestAsked = 24h;
constexpr milliseconds kSlowDown = 60s;  // what ramps up too fast has to stay down for more than the bucket's second

template <std::size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

constexpr std::string_view kPolicy[] = {"moderation_blocked", "content_policy_violation", "image_content_policy_violation",
                                        "content_filter",     "invalid_prompt",           "bio_policy"};
constexpr std::string_view kMoney[] = {"insufficient_quota",
                                       "credit_balance_exhausted",
                                       "organization_spend_limit_exceeded",
                                       "project_spend_limit_exceeded",
                                       "organization_usage_limit_exceeded",
                                       "billing_hard_limit_reached",
                                       "billing_not_active"};
constexpr std::string_view kKey[] = {"invalid_api_key", "invalid_organization", "account_deactivated", "ip_not_authorized",
                                     "unsupported_country_region_territory", "permission_denied"};
constexpr std::string_view kModel[] = {"model_not_found", "model_deprecated", "model_not_available"};

/// How long the answer says to wait, by whichever of its headers says so.
std::optional<milliseconds> asked_wait(const HttpHeaders& headers, std::chrono::system_clock::time_point now) {
  const std::string_view ms = header_of(headers, "retry-after-ms");
  std::int64_t count = 0;
  const auto read = std::from_chars(ms.data(), ms.data() + ms.size(), count);
  if (!ms.empty() && read.ec == std::errc{} && count > 0) return std::min<milliseconds>(milliseconds(count), kLongestAsked);
  if (const auto asked = retry_after(headers, now, kLongestAsked)) return asked;
  std::optional<milliseconds> longest;
  for (const std::string_view what : {"requests", "tokens", "images"}) {
    const auto reset = parse_span(header_of(headers, "x-ratelimit-reset-" + std::string(what)));
    // A bucket that is not empty resets at once: the one that is empty counts.
    if (reset && *reset > 0ms && (!longest || *reset > *longest)) longest = reset;
  }
  return longest;
}

ProviderVerdict too_many(const HttpHeaders& headers, std::chrono::system_clock::time_point now, milliseconds otherwise) {
  return {Act::wait, "openai_rate_limited", "openai: too many calls", asked_wait(headers, now).value_or(otherwise)};
}

ProviderVerdict by_words(const HttpResponse& response, const nlohmann::json& error, std::chrono::system_clock::time_point now) {
  const std::string code = text_at(error, "code");
  const std::string type = text_at(error, "type");
  const int status = response.status;
  const std::string words = provider_words(text_at(error, "message"));
  if (is_one_of(code, kMoney) || type == "insufficient_quota") {
    return {Act::shut, "openai_quota", "openai: the account has no balance left, or spent its limit: " + provider_words(code.empty() ? type : code)};
  }
  // What it says of a key may hold a part of it.
  if (status == 401 || is_one_of(code, kKey)) {
    return {Act::shut, "openai_refuses_us", "openai: refuses the key, expected one that may do this"};
  }
  if (is_one_of(code, kModel)) {
    return {Act::shut, "openai_model_unknown", "openai: does not serve the model, expected one that it has: " + words};
  }
  if (is_one_of(code, kPolicy) || type == "image_generation_user_error") {
    return {Act::fail, std::string(kContentPolicy), "openai: refused by its policy: " + words};
  }
  if (code == "slow_down") return too_many(response.headers, now, kSlowDown);
  if (code == "rate_limit_exceeded" || type == "rate_limit_error") return too_many(response.headers, now, 60s);
  if (code == "server_is_overloaded" || code == "resource_unavailable" || type == "service_unavailable_error") {
    return {Act::again, "openai_overloaded", "openai: is overloaded", asked_wait(response.headers, now)};
  }
  ProviderVerdict verdict = judge_status("openai", response, now);
  switch (status) {
    case 403: verdict.message = "openai: refuses the account, expected one that may use this model, from this country"; break;
    case 429: return too_many(response.headers, now, 60s);
    case 400:
    case 404:
    case 413:
    case 422: return {Act::fail, status == 400 ? "openai_bad_request" : verdict.code, "openai: refused the request: " + words};
    default: break;
  }
  if (verdict.act == Act::again) verdict.wait = asked_wait(response.headers, now);
  return verdict;
}

}  // namespace

ProviderVerdict judge_openai(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const nlohmann::json error = error_object(response.body);
  const bool answered = response.status >= 200 && response.status <= 299;
  ProviderVerdict verdict = answered || error.is_null() ? judge_status("openai", response, now) : by_words(response, error, now);
  const std::string_view should_retry = header_of(response.headers, "x-should-retry");
  if (verdict.act == Act::again && should_retry == "false") verdict.act = Act::fail;
  if (verdict.act == Act::fail && should_retry == "true" && verdict.code != kContentPolicy) {
    verdict.act = Act::again;
    verdict.wait = asked_wait(response.headers, now);
  }
  return verdict;
}

}  // namespace rowcrew
