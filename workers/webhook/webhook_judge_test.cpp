#include "webhook_judge.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace rowcrew::webhook {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto kWait = 5min;

HttpResponse answer(int status, HttpHeaders headers = {}, std::string body = {}) {
  HttpResponse response;
  response.status = status;
  response.headers = std::move(headers);
  response.body = std::move(body);
  return response;
}

std::string verdict(int status) {
  const Outcome outcome = judge(answer(status), kWait, {});
  if (const auto* retry = std::get_if<Retry>(&outcome)) {
    CHECK(retry->after == kWait);
    return "retry " + retry->code;
  }
  if (const auto* failed = std::get_if<Failed>(&outcome)) return "failed " + failed->code;
  return "completed " + std::get<Completed>(outcome).result;
}

Retry retry_of(const HttpResponse& response) {
  return std::get<Retry>(judge(response, kWait, {}));
}

std::string refusal(const Error& error) {
  const auto outcome = judge(error, kWait);
  if (!outcome) return "not ours";
  if (const auto* retry = std::get_if<Retry>(&*outcome)) {
    CHECK(retry->after == kWait);
    CHECK(retry->message.find(error.what()) == std::string::npos);
    return "retry " + retry->code;
  }
  return "failed " + std::get<Failed>(*outcome).code;
}

TEST_CASE("webhook: 2xx is success, 410 is the end, all else is tried again") {
  CHECK(verdict(200) == R"(completed {"status":200})");
  CHECK(verdict(204) == R"(completed {"status":204})");
  CHECK(verdict(299) == R"(completed {"status":299})");
  CHECK(verdict(410) == "failed endpoint_gone");
  for (const int status : {300, 301, 302, 304, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415,
                           422, 425, 429, 500, 501, 502, 503, 504, 599}) {
    CAPTURE(status);
    CHECK(verdict(status) == "retry http_" + std::to_string(status));
  }
}

TEST_CASE("webhook: Retry-After lengthens the wait, by a day at most, and never shortens it") {
  for (const int status : {408, 425, 429, 500, 502, 503, 504}) {
    CAPTURE(status);
    CHECK(retry_of(answer(status, {{"Retry-After", "3600"}})).after == 1h);
    CHECK(retry_of(answer(status, {{"Retry-After", "999999"}})).after == 24h);
    CHECK(retry_of(answer(status, {{"Retry-After", "1"}})).after == kWait);
    CHECK(retry_of(answer(status, {{"Retry-After", "soon"}})).after == kWait);
  }
  const HttpHeaders dated = {{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"},
                             {"Retry-After", "Sun, 06 Nov 1994 08:59:37 GMT"}};
  CHECK(retry_of(answer(503, dated)).after == 10min);
  CHECK(retry_of(answer(404, {{"Retry-After", "3600"}})).after == kWait);
}

TEST_CASE("webhook: the answer's beginning is kept, in the result or behind the sentence") {
  const Outcome done = judge(answer(200, {}, "thank you\n"), kWait, {});
  CHECK(json::parse(std::get<Completed>(done).result) ==
        json({{"status", 200}, {"excerpt", "thank you"}}));
  CHECK(retry_of(answer(503, {}, "down for\nrepair")).message ==
        "The receiver answered 503 and said: down for repair");
  CHECK(retry_of(answer(503)).message == "The receiver answered 503.");
  CHECK(retry_of(answer(302, {{"LOCATION", "https://else.example/"}})).message ==
        "The receiver answered 302 (redirections are not followed: https://else.example/).");
  CHECK(std::get<Failed>(judge(answer(410, {}, "bye"), kWait, {})).message ==
        "The receiver answered 410 (it wants no more events) and said: bye");
}

TEST_CASE("webhook: a failure names the endpoint, by host and port and nothing that may be secret") {
  CHECK(host_of("https://user:pass@Shop.example:8443/hooks/T0ken?key=1#x") == "Shop.example:8443");
  CHECK(host_of("http://[::1]:80?x=/@evil.example/") == "[::1]:80");
  CHECK(host_of("shop.example") == "shop.example");
  CHECK(host_of("http://a b\n/") == "a_b");
  CHECK(host_of("http://" + std::string(300, 'h') + "/").size() == 100);
  const std::string url = "https://shop.example/hooks/T0ken";
  const Outcome retried = naming(judge(answer(503), kWait, {}), url);
  CHECK(std::get<Retry>(retried).message == "endpoint shop.example: The receiver answered 503.");
  const Outcome failed = naming(judge(answer(410), kWait, {}), url);
  CHECK(std::get<Failed>(failed).message.starts_with("endpoint shop.example: The receiver answered 410"));
  CHECK(std::holds_alternative<Completed>(naming(judge(answer(200), kWait, {}), url)));
}

TEST_CASE("webhook: an excerpt is one KiB of valid UTF-8 without control characters") {
  CHECK(excerpt_of("").empty());
  CHECK(excerpt_of(" \r\n\t ").empty());
  CHECK(excerpt_of(std::string("a\0b\x1b[0m\x7f!", 9)) == "a b [0m !");
  CHECK(excerpt_of("na\u00efve \u2713") == "na\u00efve \u2713");
  CHECK(excerpt_of("\xff ok") == "\ufffd ok");
  CHECK(excerpt_of(std::string(5000, 'x')) == std::string(1024, 'x'));
  const std::string cut = excerpt_of(std::string(1023, 'x') + "\u2713");
  CHECK(cut.size() <= kExcerptBytes);
  CHECK(cut == std::string(1023, 'x'));
  const std::string grown = excerpt_of(std::string(5000, '\xff'));
  CHECK(grown.size() == 1023);  // whole characters of three bytes
  CHECK_NOTHROW(json(grown).dump());
}

TEST_CASE("webhook: without an answer it is tried again, and told in words of its own") {
  for (const char* code :
       {"http_dns", "http_connect", "http_tls", "http_timeout", "http_transfer"}) {
    CAPTURE(code);
    CHECK(refusal(TransientError(code, "http: host \"secret.example\"")) ==
          std::string("retry ") + code);
  }
  CHECK(refusal(PermanentError("http_body_too_large", "http: too long")) ==
        "retry http_body_too_large");
}

TEST_CASE("webhook: forbidden addresses and URLs end it, what is not the receiver's travels on") {
  CHECK(refusal(PermanentError("egress_refused", "10.0.0.1")) == "failed endpoint_forbidden");
  CHECK(refusal(PermanentError("http_bad_url", "no url")) == "failed endpoint_forbidden");
  CHECK(refusal(TransientError("db_lost", "gone")) == "not ours");
  CHECK(refusal(BugError("http_option", "what")) == "not ours");
}

}  // namespace
}  // namespace rowcrew::webhook
