#include <doctest/doctest.h>

#include <string>

#include <rowcrew/vendors.hpp>
#include "base/vendor_error.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;

/// 2026-07-15T20:00:00Z, one in the afternoon in California.
constexpr std::chrono::sys_seconds kNow = std::chrono::sys_days(std::chrono::July / 15 / 2026) + 20h;

HttpResponse answered(int status, std::string body, HttpHeaders headers = {}) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return response;
}

std::string error(const std::string& status, const std::string& details = "", const std::string& message = "No.") {
  return R"({"error":{"code":400,"message":")" + message + R"(","status":")" + status + R"(","details":[)" + details + "]}}";
}

std::string reason(const std::string& word) {
  return R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":")" + word + R"("})";
}

std::string retry_in(const std::string& span) {
  return R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":")" + span + R"("})";
}

std::string quota(const std::string& id) {
  return R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":")" + id + R"("}]})";
}

ProviderVerdict judge(int status, const std::string& body, HttpHeaders headers = {}) {
  return judge_google(answered(status, body, std::move(headers)), kNow);
}

TEST_CASE("judge google: every row of its error table") {
  struct Row {
    int status;
    std::string body;
    Act act;
    const char* says;
  };
  const Row rows[] = {
      {400, error("INVALID_ARGUMENT", reason("API_KEY_INVALID")), Act::shut, "gemini_refuses_us"},
      {400, error("INVALID_ARGUMENT"), Act::fail, "gemini_bad_request"},
      {400, error("FAILED_PRECONDITION"), Act::shut, "gemini_refuses_us"},
      {401, error("UNAUTHENTICATED"), Act::shut, "gemini_refuses_us"},
      {403, error("PERMISSION_DENIED"), Act::shut, "gemini_refuses_us"},
      {403, error("PERMISSION_DENIED", reason("API_KEY_SERVICE_BLOCKED")), Act::shut, "gemini_refuses_us"},
      {402, error(""), Act::shut, "gemini_quota"},
      {404, error("NOT_FOUND"), Act::shut, "gemini_model_unknown"},
      {404, error(""), Act::shut, "gemini_model_unknown"},
      {408, error(""), Act::again, "gemini_http_408"},
      {413, error(""), Act::fail, "gemini_http_413"},
      {429, error("RESOURCE_EXHAUSTED"), Act::wait, "gemini_rate_limited"},
      {429, error(""), Act::wait, "gemini_rate_limited"},
      {429, error("RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinutePerProjectPerModel")), Act::wait, "gemini_rate_limited"},
      {429, error("RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel")), Act::wait, "gemini_day_used_up"},
      {500, error("INTERNAL"), Act::again, "gemini_http_500"},
      {502, error(""), Act::again, "gemini_http_502"},
      {503, error("UNAVAILABLE"), Act::again, "gemini_overloaded"},
      {504, error("DEADLINE_EXCEEDED"), Act::again, "gemini_http_504"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    CAPTURE(row.body);
    for (const std::string& body : {row.body, "[" + row.body + "]"}) {
      const ProviderVerdict verdict = judge(row.status, body);
      CHECK(verdict.act == row.act);
      CHECK(verdict.code == row.says);
      CHECK_FALSE(verdict.message.empty());
    }
  }
  CHECK(judge(200, "{}").act == Act::answered);
}

TEST_CASE("judge google: what is no error of its own is judged by the status") {
  for (const char* body : {"<html>", "", "[]", "[1,2]", R"([{"error":{}},{"error":{}}])", R"({"error":{"details":"none"}})", R"({"error":[]})"}) {
    CAPTURE(body);
    CHECK(judge(502, body).act == Act::again);
    CHECK(judge(403, body).act == Act::shut);
    CHECK(judge(429, body).wait == 60s);
    CHECK(judge(400, body).act == Act::fail);
  }
}

TEST_CASE("judge google: the wait is what RetryInfo says, then what the header says") {
  CHECK(judge(429, error("RESOURCE_EXHAUSTED", retry_in("57.238s"))).wait == 57238ms);
  CHECK(judge(429, error("RESOURCE_EXHAUSTED", retry_in("42s")), {{"Retry-After", "7"}}).wait == 42s);
  CHECK(judge(429, error("RESOURCE_EXHAUSTED", retry_in("0s")), {{"Retry-After", "7"}}).wait == 7s);
  CHECK(judge(429, error("RESOURCE_EXHAUSTED", retry_in("soon"))).wait == 60s);
  CHECK(judge(503, error("UNAVAILABLE", retry_in("3s"))).wait == 3s);
}

TEST_CASE("judge google: a day's quota comes back at midnight in California, whatever RetryInfo says") {
  const std::string used_up = error("RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier") + "," + retry_in("42s"));
  CHECK(judge(429, used_up).wait == 11h);
  const auto until = [](std::chrono::sys_days day, std::chrono::seconds time) { return until_pacific_midnight(day + time); };
  using namespace std::chrono;
  CHECK(until(January / 15 / 2026, 7h + 59min + 59s) == 1s);
  CHECK(until(January / 15 / 2026, 8h) == 24h);
  CHECK(until(March / 8 / 2026, 8h) == 23h);      // the day that loses an hour
  CHECK(until(November / 1 / 2026, 7h) == 25h);   // the day that has one more
  CHECK(until(November / 1 / 2026, 9h) == 23h);
  CHECK(until(December / 31 / 2026, 20h) == 12h);
}

TEST_CASE("judge google: what it says of a key is told to nobody") {
  const ProviderVerdict verdict = judge(403, error("PERMISSION_DENIED", "", "Consumer 'api_key:AIzaSy' has been suspended."));
  CHECK(verdict.message.find("AIza") == std::string::npos);
}

TEST_CASE("vendor error: spans of time as vendors write them") {
  CHECK(parse_span("12ms") == 12ms);
  CHECK(parse_span("1s") == 1s);
  CHECK(parse_span("6m0s") == 6min);
  CHECK(parse_span("57.238s") == 57238ms);
  CHECK(parse_span("1h2m3.5s") == 1h + 2min + 3500ms);
  CHECK(parse_span("0.0001s") == 0ms);
  CHECK(parse_span("999999999999h") == 24h);
  for (const char* text : {"", "s", "5", "5x", "-1s", "1.2.3s", "9999999999999s", "1s ", "."}) {
    CAPTURE(text);
    CHECK_FALSE(parse_span(text));
  }
}

}  // namespace
}  // namespace rowcrew
