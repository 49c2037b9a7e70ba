#include "ingest/request_rules.hpp"

#include <doctest/doctest.h>

#include <string>

using rowcrew::Refused;
using rowcrew::Route;
using rowcrew::ServerRequest;

namespace {

template <class F>
int status_of(F check) {
  try {
    check();
    return 0;
  } catch (const Refused& e) {
    return e.status;
  }
}

std::string header_of(const Refused& refused, std::string_view name) {
  for (const auto& [key, value] : refused.headers) {
    if (key == name) return value;
  }
  return {};
}

ServerRequest with(std::string name, std::string value) {
  ServerRequest request;
  request.headers.emplace_back(std::move(name), std::move(value));
  return request;
}

}  // namespace

TEST_CASE("four paths are served") {
  CHECK(rowcrew::find_route("POST", "/v1/hooks/stripe") == Route::hook);
  CHECK(rowcrew::hook_name("/v1/hooks/stripe") == "stripe");
  CHECK(rowcrew::hook_name("/v1/hooks/") == "");
  CHECK(status_of([] { rowcrew::find_route("GET", "/v1/hooks/stripe"); }) == 405);
  CHECK(status_of([] { rowcrew::find_route("POST", "/v1/hooks"); }) == 404);
  CHECK(rowcrew::find_route("POST", "/v1/jobs") == Route::enqueue);
  CHECK(rowcrew::find_route("GET", "/healthz") == Route::health);
  CHECK(rowcrew::find_route("HEAD", "/readyz") == Route::ready);
}

TEST_CASE("other paths are not found, other methods are told which ones there are") {
  CHECK(status_of([] { rowcrew::find_route("GET", "/"); }) == 404);
  CHECK(status_of([] { rowcrew::find_route("POST", "/v1/jobs/"); }) == 404);
  try {
    rowcrew::find_route("GET", "/v1/jobs");
    FAIL("GET was taken");
  } catch (const Refused& e) {
    CHECK(e.status == 405);
    CHECK(header_of(e, "Allow") == "POST");
  }
  CHECK(status_of([] { rowcrew::find_route("POST", "/healthz"); }) == 405);
}

TEST_CASE("the key is what stands behind Bearer, in whatever case that word is") {
  CHECK(rowcrew::bearer_key(with("Authorization", "Bearer rc_abc")) == "rc_abc");
  CHECK(rowcrew::bearer_key(with("authorization", "bearer   rc_abc ")) == "rc_abc");
}

TEST_CASE("no usable key is 401 and says how to authenticate") {
  CHECK(status_of([] { rowcrew::bearer_key(ServerRequest()); }) == 401);
  for (const std::string value : {"", "Bearer", "Bearer ", "Basic dXNlcjpw", "Bearerrc_abc",
                                  "Bearer a b", "Bearer \xc3\xa4"}) {
    CAPTURE(value);
    CHECK(status_of([&] { rowcrew::bearer_key(with("Authorization", value)); }) == 401);
  }
  CHECK(status_of([] {
          rowcrew::bearer_key(with("Authorization", "Bearer " + std::string(257, 'x')));
        }) == 401);
  ServerRequest twice = with("Authorization", "Bearer a");
  twice.headers.emplace_back("Authorization", "Bearer b");
  CHECK(status_of([&] { rowcrew::bearer_key(twice); }) == 401);
  CHECK(header_of(rowcrew::unauthorized(), "WWW-Authenticate").starts_with("Bearer"));
}

TEST_CASE("bodies are JSON in UTF-8 or refused with 415") {
  for (const std::string type :
       {"application/json", "Application/JSON", "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\""}) {
    CAPTURE(type);
    CHECK(status_of([&] { rowcrew::require_json(with("Content-Type", type)); }) == 0);
  }
  for (const std::string type :
       {"", "text/plain", "application/jsonx", "application/json; charset=latin1",
        "application/x-www-form-urlencoded"}) {
    CAPTURE(type);
    CHECK(status_of([&] { rowcrew::require_json(with("Content-Type", type)); }) == 415);
  }
  CHECK(status_of([] { rowcrew::require_json(ServerRequest()); }) == 415);
}

TEST_CASE("an idempotency key is 1 to 200 printable ASCII characters") {
  CHECK_FALSE(rowcrew::idempotency_key(ServerRequest()));
  CHECK(rowcrew::idempotency_key(with("idempotency-key", "order 17")) == "order 17");
  CHECK(rowcrew::idempotency_key(with("Idempotency-Key", std::string(200, 'x')))->size() == 200);
  for (const std::string& key :
       {std::string(), std::string(201, 'x'), std::string("a\x01"), std::string("ä")}) {
    CAPTURE(key);
    CHECK(status_of([&] { rowcrew::idempotency_key(with("Idempotency-Key", key)); }) == 400);
  }
  ServerRequest twice = with("Idempotency-Key", "a");
  twice.headers.emplace_back("Idempotency-Key", "a");
  CHECK(status_of([&] { rowcrew::idempotency_key(twice); }) == 400);
}
