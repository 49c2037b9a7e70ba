#include <doctest/doctest.h>

#include <string>

#include <rowcrew/vendors.hpp>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using namespace std::chrono;
using Act = ProviderVerdict::Act;

// Monday 2026-11-30, 00:41:42 UTC.
constexpr system_clock::time_point kNow = sys_days(2026y / November / 30) + 41min + 42s;

HttpResponse answered(int status, std::string body, HttpHeaders headers = {}) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return response;
}

std::string error(const std::string& type, const std::string& message = "No.", const std::string& more = "") {
  return R"({"type":"error","error":{"type":")" + type + R"(","message":")" + message + "\"" + more + R"(},"request_id":"req_1"})";
}

ProviderVerdict judge(int status, const std::string& body, HttpHeaders headers = {}) {
  return judge_anthropic(answered(status, body, std::move(headers)), kNow);
}

TEST_CASE("judge anthropic: every row of its error table") {
  struct Row {
    int status;
    std::string body;
    Act act;
    const char* code;
  };
  const Row rows[] = {
      {400, error("invalid_request_error"), Act::fail, "anthropic_bad_request"},
      {400, error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), Act::fail, "anthropic_bad_request"},
      {400, error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), Act::shut, "anthropic_quota"},
      {400, error("invalid_request_error", "You have reached your workspace Spend Limit."), Act::shut, "anthropic_quota"},
      {400, error("invalid_request_error", "You have reached your specified API usage limits."), Act::shut, "anthropic_quota"},
      {401, error("authentication_error", "invalid x-api-key"), Act::shut, "anthropic_refuses_us"},
      {402, error("billing_error"), Act::shut, "anthropic_quota"},
      {403, error("permission_error"), Act::shut, "anthropic_refuses_us"},
      {404, error("not_found_error", "model: claude-2"), Act::shut, "anthropic_model_unknown"},
      {408, error("timeout_error"), Act::again, "anthropic_http_408"},
      {409, error("conflict_error"), Act::again, "anthropic_http_409"},
      {413, error("request_too_large"), Act::fail, "anthropic_too_large"},
      {429, error("rate_limit_error"), Act::wait, "anthropic_rate_limited"},
      {500, error("api_error"), Act::again, "anthropic_http_500"},
      {503, error("api_error"), Act::again, "anthropic_http_503"},
      {504, error("timeout_error"), Act::again, "anthropic_http_504"},
      {529, error("overloaded_error"), Act::wait, "anthropic_overloaded"},
      // The type counts before the status, and a status without words is enough.
      {500, error("overloaded_error"), Act::wait, "anthropic_overloaded"},
      {400, error("rate_limit_error"), Act::wait, "anthropic_rate_limited"},
      {400, "<html>no</html>", Act::fail, "anthropic_http_400"},
      {401, "", Act::shut, "anthropic_refuses_us"},
      {402, "", Act::shut, "anthropic_quota"},
      {403, "<html>", Act::shut, "anthropic_refuses_us"},
      {404, "<html>nginx</html>", Act::shut, "anthropic_http_404"},
      {413, "<html>413 Request Entity Too Large</html>", Act::fail, "anthropic_too_large"},
      {429, "slow down", Act::wait, "anthropic_rate_limited"},
      {502, "<html>", Act::again, "anthropic_http_502"},
      {529, "", Act::wait, "anthropic_overloaded"},
      {529, R"({"type":"error","error":"a text"})", Act::wait, "anthropic_overloaded"},
      {418, error("teapot_error"), Act::fail, "anthropic_http_418"},
      {302, "", Act::fail, "anthropic_http_302"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    CAPTURE(row.body);
    const ProviderVerdict verdict = judge(row.status, row.body);
    CHECK(verdict.act == row.act);
    CHECK(verdict.code == row.code);
    CHECK(verdict.message.starts_with("anthropic: "));
  }
  CHECK(judge(200, error("overloaded_error")).act == Act::answered);
}

TEST_CASE("judge anthropic: too many calls wait as long as it says") {
  const std::string body = error("rate_limit_error");
  CHECK(judge(429, body, {{"Retry-After", "7"}}).wait == 7s);
  CHECK(judge(429, body, {{"retry-after", "86400000"}}).wait == 24h);
  CHECK(judge(429, body).wait == 60s);
  CHECK(judge(429, body, {{"anthropic-ratelimit-requests-remaining", "12"},
                          {"anthropic-ratelimit-requests-reset", "2026-11-30T00:45:00Z"},
                          {"anthropic-ratelimit-input-tokens-remaining", "0"},
                          {"anthropic-ratelimit-input-tokens-reset", "2026-11-30T00:41:51Z"},
                          {"anthropic-ratelimit-output-tokens-remaining", "0"},
                          {"anthropic-ratelimit-output-tokens-reset", "2026-11-30T00:42:12.5Z"}})
            .wait == 30s);
  for (const char* nonsense : {"2026-11-30T00:41:00Z", "2026-13-30T00:45:00Z", "tomorrow", "", "2026-11-30T00:45:00+01:00"}) {
    CAPTURE(nonsense);
    CHECK(judge(429, body, {{"anthropic-ratelimit-tokens-remaining", "0"}, {"anthropic-ratelimit-tokens-reset", nonsense}}).wait == 60s);
  }
  CHECK(judge(529, error("overloaded_error")).wait == 15s);
  CHECK(judge(529, error("overloaded_error"), {{"retry-after", "3"}}).wait == 3s);
}

TEST_CASE("judge anthropic: a spent limit of the month shuts until the next one begins") {
  const std::string body = error("rate_limit_error", "No.", R"(,"details":{"error_code":"enforced_spend_limit_reached"})");
  const ProviderVerdict verdict = judge(429, body);
  CHECK(verdict.act == Act::shut);
  CHECK(verdict.code == "anthropic_quota");
  CHECK(verdict.wait == 24h - 41min - 42s);
  const auto in_february = sys_days(2028y / February / 1) + 12h;
  CHECK(judge_anthropic(answered(429, body), in_february).wait == 24h * 28 + 12h);
  // With retry-after it is a limit of calls.
  CHECK(judge(429, body, {{"retry-after", "7"}}).act == Act::wait);
}

TEST_CASE("judge anthropic: x-should-retry decides about single calls, not about the account") {
  CHECK(judge(500, error("api_error"), {{"x-should-retry", "false"}}).act == Act::fail);
  CHECK(judge(400, error("invalid_request_error"), {{"X-Should-Retry", "true"}, {"retry-after", "2"}}).act == Act::again);
  CHECK(judge(400, error("invalid_request_error"), {{"X-Should-Retry", "true"}, {"retry-after", "2"}}).wait == 2s);
  CHECK(judge(401, error("authentication_error"), {{"x-should-retry", "true"}}).act == Act::shut);
  CHECK(judge(429, error("rate_limit_error"), {{"x-should-retry", "false"}}).act == Act::wait);
}

TEST_CASE("judge anthropic: its words stay one short line, and those about a key are left out") {
  CHECK(judge(401, error("authentication_error", "invalid x-api-key sk-ant-1234")).message.find("sk-ant") == std::string::npos);
  const std::string message = judge(400, error("invalid_request_error", "a\\nb" + std::string(1000, 'x'))).message;
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.size() < 400);
}

}  // namespace
}  // namespace rowcrew
