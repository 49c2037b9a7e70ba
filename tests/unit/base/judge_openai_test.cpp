#include <doctest/doctest.h>

#include <string>

#include <rowcrew/vendors.hpp>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;

constexpr std::chrono::system_clock::time_point kNow{};

HttpResponse answered(int status, std::string body, HttpHeaders headers = {}) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return response;
}

std::string error(const std::string& type, const std::string& code, const std::string& message = "No.") {
  return R"({"error":{"message":")" + message + R"(","type":")" + type + R"(","param":null,"code":)" +
         (code.empty() ? "null" : "\"" + code + "\"") + "}}";
}

ProviderVerdict judge(int status, const std::string& type, const std::string& code, HttpHeaders headers = {}) {
  return judge_openai(answered(status, error(type, code), std::move(headers)), kNow);
}

TEST_CASE("judge openai: every row of its error table") {
  struct Row {
    int status;
    const char* type;
    const char* code;
    Act act;
    const char* says;
  };
  const Row rows[] = {
      {400, "image_generation_user_error", "moderation_blocked", Act::fail, "content_policy"},
      {400, "image_generation_user_error", "", Act::fail, "content_policy"},
      {400, "invalid_request_error", "content_policy_violation", Act::fail, "content_policy"},
      {400, "invalid_request_error", "invalid_prompt", Act::fail, "content_policy"},
      {400, "invalid_request_error", "invalid_image_file", Act::fail, "openai_bad_request"},
      {400, "invalid_request_error", "image_too_large", Act::fail, "openai_bad_request"},
      {400, "invalid_request_error", "unknown_parameter", Act::fail, "openai_bad_request"},
      {400, "invalid_request_error", "", Act::fail, "openai_bad_request"},
      {400, "invalid_request_error", "model_not_found", Act::shut, "openai_model_unknown"},
      {404, "invalid_request_error", "model_not_found", Act::shut, "openai_model_unknown"},
      {404, "invalid_request_error", "", Act::fail, "openai_http_404"},
      {401, "invalid_request_error", "invalid_api_key", Act::shut, "openai_refuses_us"},
      {401, "invalid_request_error", "", Act::shut, "openai_refuses_us"},
      {401, "invalid_request_error", "invalid_organization", Act::shut, "openai_refuses_us"},
      {403, "request_forbidden", "unsupported_country_region_territory", Act::shut, "openai_refuses_us"},
      {403, "invalid_request_error", "", Act::shut, "openai_refuses_us"},
      {408, "", "", Act::again, "openai_http_408"},
      {409, "", "", Act::again, "openai_http_409"},
      {413, "invalid_request_error", "", Act::fail, "openai_http_413"},
      {422, "invalid_request_error", "", Act::fail, "openai_http_422"},
      {429, "requests", "rate_limit_exceeded", Act::wait, "openai_rate_limited"},
      {429, "tokens", "rate_limit_exceeded", Act::wait, "openai_rate_limited"},
      {429, "rate_limit_error", "slow_down", Act::wait, "openai_rate_limited"},
      {429, "", "", Act::wait, "openai_rate_limited"},
      {429, "insufficient_quota", "", Act::shut, "openai_quota"},
      {429, "insufficient_quota", "insufficient_quota", Act::shut, "openai_quota"},
      {429, "insufficient_quota", "credit_balance_exhausted", Act::shut, "openai_quota"},
      {429, "insufficient_quota", "organization_spend_limit_exceeded", Act::shut, "openai_quota"},
      {429, "insufficient_quota", "project_spend_limit_exceeded", Act::shut, "openai_quota"},
      {429, "", "organization_usage_limit_exceeded", Act::shut, "openai_quota"},
      {400, "invalid_request_error", "billing_hard_limit_reached", Act::shut, "openai_quota"},
      {429, "", "resource_unavailable", Act::again, "openai_overloaded"},
      {500, "server_error", "", Act::again, "openai_http_500"},
      {502, "server_error", "", Act::again, "openai_http_502"},
      {503, "service_unavailable_error", "server_is_overloaded", Act::again, "openai_overloaded"},
      {503, "", "slow_down", Act::wait, "openai_rate_limited"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    CAPTURE(row.type);
    CAPTURE(row.code);
    const ProviderVerdict verdict = judge(row.status, row.type, row.code);
    CHECK(verdict.act == row.act);
    CHECK(verdict.code == row.says);
    CHECK_FALSE(verdict.message.empty());
  }
  CHECK(judge_openai(answered(200, "whatever"), kNow).act == Act::answered);
}

TEST_CASE("judge openai: what is no error of its own is judged by the status") {
  for (const char* body : {"<html>502 Bad Gateway</html>", "", "[]", "{}", R"({"error":"text"})", R"({"error":{"mess)"}) {
    CAPTURE(body);
    CHECK(judge_openai(answered(502, body), kNow).code == "openai_http_502");
    CHECK(judge_openai(answered(502, body), kNow).act == Act::again);
    CHECK(judge_openai(answered(401, body), kNow).act == Act::shut);
    CHECK(judge_openai(answered(429, body), kNow).act == Act::wait);
    CHECK(judge_openai(answered(400, body), kNow).act == Act::fail);
  }
}

TEST_CASE("judge openai: the wait is what the answer says, by the finest of its headers") {
  const auto wait = [](HttpHeaders headers) { return judge(429, "", "rate_limit_exceeded", std::move(headers)).wait; };
  CHECK(wait({{"Retry-After-Ms", "1500"}, {"Retry-After", "7"}}) == 1500ms);
  CHECK(wait({{"retry-after-ms", "soon"}, {"Retry-After", "7"}}) == 7s);
  CHECK(wait({{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT"}}) == 30s);
  CHECK(wait({{"x-ratelimit-reset-requests", "12ms"}, {"x-ratelimit-reset-tokens", "6m0s"}}) == 6min);
  CHECK(wait({{"x-ratelimit-reset-requests", "1.5s"}, {"x-ratelimit-reset-tokens", "0s"}}) == 1500ms);
  CHECK(wait({{"x-ratelimit-reset-requests", "soon"}}) == 60s);
  CHECK(wait({}) == 60s);
  CHECK(wait({{"Retry-After", "99999999"}}) == 24h);
  CHECK(judge(503, "", "server_is_overloaded", {{"Retry-After", "9"}}).wait == 9s);
  CHECK_FALSE(judge(500, "server_error", "").wait);
}

TEST_CASE("judge openai: x-should-retry decides about single calls, not about accounts and policies") {
  const HttpHeaders no = {{"X-Should-Retry", "false"}};
  const HttpHeaders yes = {{"X-Should-Retry", "true"}};
  CHECK(judge(500, "server_error", "", no).act == Act::fail);
  CHECK(judge(429, "", "rate_limit_exceeded", no).act == Act::wait);
  CHECK(judge(400, "invalid_request_error", "", yes).act == Act::again);
  CHECK(judge(400, "", "moderation_blocked", yes).act == Act::fail);
  CHECK(judge(429, "insufficient_quota", "", yes).act == Act::shut);
}

TEST_CASE("judge openai: what it says of a key is told to nobody") {
  const std::string body = error("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-ab****wxyz.");
  CHECK(judge_openai(answered(401, body), kNow).message.find("sk-") == std::string::npos);
  const std::string refused = error("invalid_request_error", "invalid_value", "size: 1x1\\nis too small");
  CHECK(judge_openai(answered(400, refused), kNow).message == "openai: refused the request: size: 1x1 is too small");
}

}  // namespace
}  // namespace rowcrew
