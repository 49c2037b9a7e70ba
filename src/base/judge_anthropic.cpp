#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include <rowcrew/retry_after.hpp>
#include <rowcrew/vendors.hpp>

#include <rowcrew/http_answer.hpp>
#include "base/vendor_error.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;
using Wall = std::chrono::system_clock::time_point;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLongestAsked = 24h;
constexpr milliseconds kOverloaded = 15s;

bool speaks_of_money(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return text.find("credit balance") != text.npos || text.find("spend limit") != text.npos || text.find("usage limit") != text.npos;
}

/// "2026-11-30T00:41:42Z", with or without a fraction.
std::optional<std::chrono::sys_seconds> parse_utc(std::string_view text) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= kForm.size() || text.back() != 'Z') return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == 'd' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  const auto number = [text](std::size_t from, std::size_t count) {
    int value = 0;
    std::from_chars(text.data() + from, text.data() + from + count, value);
    return value;
  };
  using namespace std::chrono;
  const year_month_day date(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))), day(static_cast<unsigned>(number(8, 2))));
  if (!date.ok()) return std::nullopt;
  return sys_days(date) + hours(number(11, 2)) + minutes(number(14, 2)) + seconds(number(17, 2));
}

/// Until the last bucket that is empty is filled.
std::optional<milliseconds> until_filled(const HttpHeaders& headers, Wall now) {
  std::optional<milliseconds> longest;
  for (const std::string_view what : {"requests", "tokens", "input-tokens", "output-tokens"}) {
    const std::string name = "anthropic-ratelimit-" + std::string(what);
    if (header_of(headers, name + "-remaining") != "0") continue;
    const auto reset = parse_utc(header_of(headers, name + "-reset"));
    if (!reset || *reset <= now) continue;
    const auto left = std::min<milliseconds>(std::chrono::ceil<milliseconds>(*reset - now), kLongestAsked);
    longest = std::max(longest.value_or(0ms), left);
  }
  return longest;
}

milliseconds until_next_month(Wall now) {
  using namespace std::chrono;
  const year_month_day today(floor<days>(now));
  const sys_days first = sys_days((today.year() / today.month() + months(1)) / day(1));
  return ceil<milliseconds>(first - now);
}

ProviderVerdict too_many(const HttpResponse& response, const nlohmann::json& error, Wall now) {
  const auto asked = retry_after(response.headers, now, kLongestAsked);
  const auto details = error.is_object() ? error.find("details") : error.end();
  if (!asked && error.is_object() && details != error.end() && text_at(*details, "error_code") == "enforced_spend_limit_reached") {
    return {Act::shut, "anthropic_quota", "anthropic: the month's limit of spending is reached", until_next_month(now)};
  }
  return {Act::wait, "anthropic_rate_limited", "anthropic: too many calls", asked ? asked : until_filled(response.headers, now).value_or(60s)};
}

ProviderVerdict overloaded(const HttpResponse& response, Wall now) {
  // Nobody's fault, and of minutes: it must not use up attempts, nor be made worse by all who wait.
  return {Act::wait, "anthropic_overloaded", "anthropic: is overloaded", retry_after(response.headers, now, kLongestAsked).value_or(kOverloaded)};
}

ProviderVerdict by_status(const HttpResponse& response, const nlohmann::json& error, Wall now) {
  switch (response.status) {
    case 402: return {Act::shut, "anthropic_quota", "anthropic: answered 402, expected an account that is paid for"};
    case 404: return {Act::shut, "anthropic_http_404", "anthropic: answered 404, expected its API at base_url"};
    case 413: return {Act::fail, "anthropic_too_large", "anthropic: the request is larger than it takes (32 MB)"};
    case 429: return too_many(response, error, now);
    case 529: return overloaded(response, now);
    default: return judge_status("anthropic", response, now);
  }
}

ProviderVerdict by_type(const HttpResponse& response, const nlohmann::json& error, Wall now) {
  const std::string type = text_at(error, "type");
  const std::string message = text_at(error, "message");
  const std::string words = provider_words(message);
  // What it says of a key may hold a part of it.
  if (type == "authentication_error") return {Act::shut, "anthropic_refuses_us", "anthropic: refuses the key, expected one that may do this"};
  if (type == "permission_error") return {Act::shut, "anthropic_refuses_us", "anthropic: the key may not do this: " + words};
  if (type == "billing_error") return {Act::shut, "anthropic_quota", "anthropic: the account is not paid for: " + words};
  if (type == "not_found_error") return {Act::shut, "anthropic_model_unknown", "anthropic: does not serve the model, expected one that it has: " + words};
  if (type == "request_too_large") return {Act::fail, "anthropic_too_large", "anthropic: the request is larger than it takes (32 MB)"};
  if (type == "rate_limit_error") return too_many(response, error, now);
  if (type == "overloaded_error") return overloaded(response, now);
  if (type == "invalid_request_error") {
    if (speaks_of_money(message)) return {Act::shut, "anthropic_quota", "anthropic: the account has no balance left, or spent its limit: " + words};
    return {Act::fail, "anthropic_bad_request", "anthropic: refused the request: " + words};
  }
  return by_status(response, error, now);
}

}  // namespace

ProviderVerdict judge_anthropic(const HttpResponse& response, Wall now) {
  if (response.status >= 200 && response.status <= 299) return {};
  const nlohmann::json error = error_object(response.body);
  ProviderVerdict verdict = error.is_null() ? by_status(response, error, now) : by_type(response, error, now);
  const std::string_view should_retry = header_of(response.headers, "x-should-retry");
  if (verdict.act == Act::again && should_retry == "false") verdict.act = Act::fail;
  if (verdict.act == Act::fail && should_retry == "true") {
    verdict.act = Act::again;
    verdict.wait = retry_after(response.headers, now, kLongestAsked);
  }
  return verdict;
}

}  // namespace rowcrew
