#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>

#include "http_args.hpp"
#include "http_handler.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::http {
namespace {

using namespace std::chrono_literals;
using testing::KindBench;

constexpr const char* kConfig = R"(
kinds:
  http:
    allow:
      ping:
        method: GET
        url: https://example.com/ping
      order:
        method: PUT
        url: "http://10.0.0.1:8080/orders/{id}/items/{item}?note={note}"
        headers: {X-Source: rowcrew}
        headers_secret: {Authorization: Bearer abc}
        timeout: 5s
        expect: ["200", "201-204", "409"]
        body: json
)";

std::string config_error(const std::string& lines) {
  const auto settings =
      testing::settings_from("http:\n  allow:\n    broken:\n" + lines).section("http");
  try {
    read_allow_list(settings);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string refusal(KindBench& bench, const std::string& payload) {
  HttpHandler handler(bench.deps);
  try {
    bench.run(handler, payload);
  } catch (const PermanentError& error) {
    CHECK(bench.http.requests.empty());
    return error.code();
  }
  return "";
}

std::string header(const HttpRequest& request, std::string_view name) {
  std::string found;
  for (const auto& [key, value] : request.headers) {
    if (key == name) found += value + ";";
  }
  return found;
}

constexpr const char* kOrder =
    R"({"entry":"order","args":{"id":42,"item":"a/b ü?#%","note":""},"body":{"n":1}})";

TEST_CASE("http: an entry sends its own request, with the job's idempotency key") {
  KindBench bench(kConfig);
  bench.http.answer(201);
  HttpHandler handler(bench.deps);
  const Outcome outcome = bench.run(handler, kOrder);

  REQUIRE(bench.http.requests.size() == 1);
  const HttpRequest& request = bench.http.requests[0];
  CHECK(request.method == "PUT");
  CHECK(request.url == "http://10.0.0.1:8080/orders/42/items/a%2Fb%20%C3%BC%3F%23%25?note=");
  CHECK(request.body == R"({"n":1})");
  CHECK(request.timeout == 5s);
  CHECK(header(request, "Idempotency-Key") == "job_queue:018f4e2a-0000-7000-8000-000000000001;");
  CHECK(header(request, "Content-Type") == "application/json;");
  CHECK(header(request, "X-Source") == "rowcrew;");
  CHECK(header(request, "Authorization") == "Bearer abc;");
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(std::get<Completed>(outcome).result == R"({"status":201})");
}

TEST_CASE("http: numbers of the body keep every digit, and all else its value") {
  KindBench bench(kConfig);
  HttpHandler handler(bench.deps);
  for (const std::string body : {R"({"wei":1000000000000000000001,"price":19.90,"rate":0.12345678901234567890123})", R"([])", R"({})", R"(-1.0)",
                                 R"([[],{},[{"a":[1,null,true]},"b"],18446744073709551615,-9223372036854775808,{"body":{"body":[0.10]}}])",
                                 R"("a\"\\\n€")", R"({"":""})", R"(null)"}) {
    bench.http.answer(200);
    bench.run(handler, R"({"args": {"id": 42, "item": "x", "note": ""}, "body": )" + body + R"(, "entry": "order"})");
    CHECK(bench.http.requests.back().body == body);
  }
}

TEST_CASE("http: a request without a body has no content type") {
  KindBench bench(kConfig);
  bench.http.answer(200);
  HttpHandler handler(bench.deps);
  bench.run(handler, R"({"entry":"ping"})");
  CHECK(bench.http.requests.at(0).body.empty());
  CHECK(header(bench.http.requests[0], "Content-Type").empty());
}

TEST_CASE("http: the timeout ends with the job's deadline") {
  KindBench bench(kConfig);
  HttpHandler handler(bench.deps);
  const auto timeout = [&](std::chrono::milliseconds left) {
    bench.http.answer(200);
    bench.run(handler, R"({"entry":"ping"})", left);
    return bench.http.requests.back().timeout;
  };
  CHECK(timeout(1h) == 30s);
  CHECK(timeout(2s) == 2s);
  CHECK(timeout(-1s) == 1ms);
}

TEST_CASE("http: a payload that does not fit its entry is refused for good") {
  KindBench bench(kConfig);
  for (const std::string payload :
       {R"({})", R"({"entry":null})", R"({"entry":"ping","args":{"x":"y"}})",
        R"({"entry":"ping","args":"x"})", R"({"entry":"ping","body":{}})",
        R"({"entry":"ping","url":"http://x/"})",
        R"({"entry":"order","args":{"id":"1","item":"2"},"body":1})",
        R"({"entry":"order","args":{"id":"1","item":"2","note":"3"}})",
        R"({"entry":"order","args":{"id":true,"item":"2","note":""},"body":1})",
        R"({"entry":"order","args":{"id":"","item":"2","note":""},"body":1})",
        R"({"entry":"order","args":{"id":"..","item":"2","note":""},"body":1})",
        R"({"entry":"order","args":{"id":".","item":"2","note":""},"body":1})",
        R"({"entry":"order","args":{"id":"a\nb","item":"2","note":""},"body":1})"}) {
    CAPTURE(payload);
    CHECK(refusal(bench, payload) == "bad_payload");
  }
  CHECK(refusal(bench, R"({"entry":"https://example.com"})") == "unknown_entry");
  KindBench empty("");
  CHECK(refusal(empty, R"({"entry":"ping"})") == "unknown_entry");
}

TEST_CASE("http: the outcome follows the status") {
  KindBench bench(kConfig);
  const AllowList allow = read_allow_list(bench.kinds.section("http"));
  const auto verdict = [&](const char* entry, int status) {
    HttpResponse response;
    response.status = status;
    const Outcome outcome = judge(allow.at(entry), response, {});
    if (const auto* retry = std::get_if<Retry>(&outcome)) return "retry " + retry->code;
    if (const auto* failed = std::get_if<Failed>(&outcome)) return "failed " + failed->code;
    return std::get<Completed>(outcome).result;
  };
  CHECK(verdict("ping", 200) == R"({"status":200})");
  CHECK(verdict("ping", 299) == R"({"status":299})");
  CHECK(verdict("ping", 301) == "failed http_3xx");
  CHECK(verdict("ping", 404) == "failed http_4xx");
  CHECK(verdict("ping", 409) == "failed http_4xx");
  CHECK(verdict("ping", 408) == "retry http_408");
  CHECK(verdict("ping", 425) == "retry http_425");
  CHECK(verdict("ping", 429) == "retry http_429");
  CHECK(verdict("ping", 500) == "retry http_5xx");
  CHECK(verdict("ping", 503) == "retry http_5xx");
  CHECK(verdict("order", 409) == R"({"status":409})");
  CHECK(verdict("order", 204) == R"({"status":204})");
  CHECK(verdict("order", 205) == "failed http_2xx");
}

TEST_CASE("http: Retry-After of a retried answer is honoured") {
  KindBench bench(kConfig);
  HttpHandler handler(bench.deps);
  bench.http.answer(503, {{"retry-after", "120"}});
  const Outcome outcome = bench.run(handler, R"({"entry":"ping"})");
  REQUIRE(std::holds_alternative<Retry>(outcome));
  CHECK(std::get<Retry>(outcome).after == 120s);
  CHECK(std::get<Retry>(outcome).message == "entry ping: answered 503");
}

TEST_CASE("http: a request that fails is the client's error, of the entry that it names") {
  KindBench bench(kConfig);
  HttpHandler handler(bench.deps);
  bench.http.fail(TransientError("http_timeout", "no answer"));
  try {
    bench.run(handler, R"({"entry":"ping"})");
    FAIL("took it");
  } catch (const Error& error) {
    CHECK(error.error_class() == ErrorClass::transient);
    CHECK(error.code() == "http_timeout");
    CHECK(std::string(error.what()) == "entry ping: no answer");
  }
}

TEST_CASE("url template: everything before the path is fixed") {
  const auto refused = [](const std::string& url) {
    CAPTURE(url);
    CHECK_THROWS_AS(UrlTemplate(url, "url"), ConfigError);
  };
  for (const char* url : {"",
                          "example.com/x",
                          "ftp://example.com/",
                          "https://",
                          "https:///x",
                          "https://{host}/x",
                          "https://example.com{path}",
                          "https://example.com:{port}/",
                          "https://user@example.com/",
                          "https://example.com/a b",
                          "https://example.com/#x",
                          "https://example.com/{}",
                          "https://example.com/{a",
                          "https://example.com/a}",
                          "https://example.com/{a b}",
                          "https://example.com/ü",
                          "https://example.com/../x",
                          "https://example.com/%2E%2e/x",
                          "https://example.com/./x",
                          "https://example.com/x%2F..%2Fy",
                          "https://example.com/x\\..\\y",
                          "{scheme}://example.com/"}) {
    refused(url);
  }
  CHECK_NOTHROW(UrlTemplate("https://example.com?next=/../x", "url"));
  CHECK(UrlTemplate("https://example.com", "url").fill({}) == "https://example.com");
  CHECK(UrlTemplate("https://example.com?q={q}", "url").fill({{"q", "/../&x=1"}}) ==
        "https://example.com?q=%2F..%2F%26x%3D1");
}

TEST_CASE("url template: values cannot make a segment that means another path") {
  const UrlTemplate joined("https://example.com/files/{a}{b}/end", "url");
  CHECK(joined.fill({{"a", "v"}, {"b", ".."}}) == "https://example.com/files/v../end");
  CHECK(joined.fill({{"a", "%2e"}, {"b", "."}}) == "https://example.com/files/%252e./end");
  CHECK_THROWS_AS(joined.fill({{"a", "."}, {"b", "."}}), PermanentError);
  CHECK_THROWS_AS(joined.fill({{"a", std::string(1025, 'x')}, {"b", "y"}}), PermanentError);
}

TEST_CASE("url template: a value does not climb out of its segment by encoded slashes") {
  const UrlTemplate order("https://example.com/orders/{id}", "url");
  for (const char* value : {"../../admin", "..\\..\\admin", "a/../b", "a/..", "a\\.", "./a", "/..", "..\\"}) {
    CAPTURE(value);
    CHECK_THROWS_AS(order.fill({{"id", value}}), PermanentError);
  }
  CHECK(order.fill({{"id", "a/b"}}) == "https://example.com/orders/a%2Fb");
  CHECK(order.fill({{"id", "a\\b"}}) == "https://example.com/orders/a%5Cb");
  CHECK(order.fill({{"id", "..a/b..c/..."}}) == "https://example.com/orders/..a%2Fb..c%2F...");
  const UrlTemplate split("https://example.com/{a}{b}", "url");
  CHECK_THROWS_AS(split.fill({{"a", "x/."}, {"b", "./y"}}), PermanentError);
  CHECK(UrlTemplate("https://example.com/?q={q}", "url").fill({{"q", "../.."}}) == "https://example.com/?q=..%2F..");
}

TEST_CASE("http: mistakes in the allow-list are found at start") {
  const auto contains = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CHECK(text.find(part) != text.npos);
  };
  const std::string url = "      url: https://example.com/\n";
  contains(config_error("      method: GET\n"), "broken.url: missing");
  contains(config_error(url + "      method: get\n"), "broken.method");
  contains(config_error(url + "      expect: [2xx]\n"), "broken.expect");
  contains(config_error(url + "      expect: [299-200]\n"), "broken.expect");
  contains(config_error(url + "      expect: []\n"), "is empty");
  contains(config_error(url + "      method: GET\n      body: json\n"), "carries no body");
  contains(config_error(url + "      headers: {\"X Y\": z}\n"), "no name of a header");
  contains(config_error(url + "      headers: {Host: z}\n"), "cannot be configured");
  contains(config_error(url + "      headers: {X-Y: \"a\\r\\nb: c\"}\n"), "control character");
  contains(config_error(url + "      headers: {A: b}\n      headers_secret: {a: c}\n"), "twice");
  contains(config_error(url + "      headers_secret: {Authorization: \"\"}\n"), "no source");
  contains(config_error(url + "      headers_secret: {Authorization_file: /no/such/file}\n"),
           "Authorization_file");
  CHECK(config_error(url) == "");
}

TEST_CASE("http: a secret header may come from a file, and every key is known") {
  const std::string path = "/proc/sys/kernel/ostype";  // any readable file with one line
  KindBench bench(
      "kinds: {http: {allow: {ping: {url: \"https://example.com/\", headers_secret: "
      "{X-Key_file: " +
      path + "}}}}}");
  Registry registry;
  register_http(registry, bench.deps);
  CHECK_NOTHROW(check_unknown(bench.root));
  bench.http.answer(200);
  bench.run(*registry.find("http"), R"({"entry":"ping"})");
  CHECK(header(bench.http.requests.at(0), "X-Key") == "Linux;");
}

}  // namespace
}  // namespace rowcrew::http
