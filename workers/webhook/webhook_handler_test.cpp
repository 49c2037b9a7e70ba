#include "webhook_handler.hpp"

#include <doctest/doctest.h>

#include <rowcrew/db_error.hpp>
#include <rowcrew/registry.hpp>

#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::webhook {
namespace {

using namespace std::chrono_literals;
using testing::FakeDb;
using testing::KindBench;

constexpr const char* kPayload = R"({"delivery": "018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7e"})";
constexpr const char* kUrl = "https://hooks.example/in?key=1";
constexpr const char* kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr const char* kOldSecret = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
constexpr const char* kBody =
    "{\"type\":\"job.completed\",\"timestamp\":\"2026-01-01T00:00:00Z\","
    "\"data\":{\"id\":\"42\",\"note\":\"na\u00efve \u2713\"}}";
constexpr const char* kSignature = "v1,gSCu2XrsNSbUuVHgYCfWgjdvIkqBR5h+6E5caaOm0Wc=";
constexpr const char* kOldSignature = "v1,/r5iCWHvq2SZp4ws1Ldhnh+e68WYaOTFMwOomx7Q1Bk=";

using Cells = std::vector<std::optional<std::string>>;

Cells stored() { return {kBody, "t", kUrl, kSecret, std::nullopt, "1767225600"}; }

/// A bench whose database holds one delivery.
struct Bench {
  explicit Bench(const std::string& yaml = "") : kind(yaml) {
    db.answer = [this](const FakeDb::Asked&) { return cells ? testing::one_row(*cells) : Rows(6); };
  }
  Outcome run(const std::string& payload = kPayload, std::chrono::milliseconds left = 1h) {
    WebhookHandler handler(deps);
    return kind.run(handler, payload, left);
  }
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : kind.http.requests.at(0).headers) {
      if (key == name) return value;
    }
    return "";
  }

  KindBench kind;
  FakeDb db;
  std::optional<Cells> cells = stored();
  Deps deps{db,         kind.ports,  kind.http, kind.mail, kind.children,
            kind.clock, kind.random, kind.log,  kind.kinds};
};

TEST_CASE("webhook: the stored bytes are sent, signed for the database's time") {
  Bench bench;
  bench.kind.http.answer(204);
  const Outcome outcome = bench.run();

  REQUIRE(bench.kind.http.requests.size() == 1);
  const HttpRequest& request = bench.kind.http.requests[0];
  CHECK(request.method == "POST");
  CHECK(request.url == kUrl);
  CHECK(request.body == kBody);
  CHECK(request.timeout == 15s);
  CHECK(request.max_response_bytes == 65536);
  CHECK(bench.header("content-type") == "application/json");
  CHECK(bench.header("webhook-id") == "msg_018f2f6e7c5a7b3c9d1e2f3a4b5c6d7e");
  CHECK(bench.header("webhook-timestamp") == "1767225600");
  CHECK(bench.header("webhook-signature") == kSignature);
  CHECK(request.headers.size() == 4);
  CHECK(std::get<Completed>(outcome).result == R"({"status":204})");
  CHECK(bench.db.asked.at(0).params == Cells{"018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7e"});
}

TEST_CASE("webhook: while secrets rotate both sign") {
  Bench bench;
  (*bench.cells)[4] = kOldSecret;
  bench.kind.http.answer(200);
  bench.run();
  CHECK(bench.header("webhook-signature") == std::string(kSignature) + " " + kOldSignature);
}

TEST_CASE("webhook: without a delivery or an endpoint that is enabled nothing is sent") {
  Bench bench;
  SUBCASE("no such delivery") { bench.cells.reset(); }
  SUBCASE("endpoint deleted") {
    bench.cells = Cells{kBody, std::nullopt, std::nullopt, std::nullopt, std::nullopt, "1"};
  }
  SUBCASE("endpoint disabled") { (*bench.cells)[1] = "f"; }
  CHECK(std::holds_alternative<Cancelled>(bench.run()));
  CHECK(bench.kind.http.requests.empty());
}

TEST_CASE("webhook: a payload without a delivery is refused before the database is asked") {
  for (const std::string payload :
       {R"({})", R"({"delivery": 5})", R"({"delivery": "x"})", R"([])",
        R"({"delivery": "018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7z"})",
        R"({"delivery": "018f2f6e07c5a-7b3c-9d1e-2f3a4b5c6d7e"})"}) {
    CAPTURE(payload);
    Bench bench;
    try {
      bench.run(payload);
      FAIL("took it");
    } catch (const PermanentError& e) {
      CHECK(e.code() == "bad_payload");
    }
    CHECK(bench.db.asked.empty());
  }
}

TEST_CASE("webhook: the timeout is configured and ends with the job's deadline") {
  Bench bench("kinds: {webhook: {timeout: 3s}}");
  for (const auto& [left, timeout] :
       {std::pair{3'600'000ms, 3000ms}, {2000ms, 2000ms}, {-5ms, 1ms}}) {
    bench.kind.http.answer(200);
    bench.run(kPayload, left);
    CHECK(bench.kind.http.requests.back().timeout == timeout);
  }
}

TEST_CASE("webhook: the attempt decides how long a retry waits, give or take a tenth") {
  Bench bench("kinds: {webhook: {retry_schedule: [10s, 100s]}}");
  for (const auto& [attempt, wait] : {std::pair{1, 10s}, {2, 100s}, {3, 100s}}) {
    CAPTURE(attempt);
    bench.kind.job.attempt = attempt;
    bench.kind.http.answer(500);
    const auto answered = std::get<Retry>(bench.run());
    CHECK(answered.code == "http_500");
    CHECK(*answered.after >= wait * 9 / 10);
    CHECK(*answered.after <= wait * 11 / 10);
    bench.kind.http.fail(TransientError("http_connect", "refused"));
    const auto unreached = std::get<Retry>(bench.run());
    CHECK(unreached.code == "http_connect");
    CHECK(unreached.message.starts_with("endpoint hooks.example: The receiver could not be reached"));
    CHECK(*unreached.after >= wait * 9 / 10);
  }
}

TEST_CASE("webhook: a forbidden address fails, our own trouble is no verdict on the endpoint") {
  Bench bench;
  bench.kind.http.fail(PermanentError("egress_refused", "10.0.0.1"));
  CHECK(std::get<Failed>(bench.run()).code == "endpoint_forbidden");
  bench.db.answer = [](const FakeDb::Asked&) -> Rows {
    throw DbError(ErrorClass::transient, "57P01", "going down", true, false);
  };
  CHECK_THROWS_AS(bench.run(), DbError);
}

TEST_CASE("webhook: https_only refuses plain http before anything is sent") {
  Bench bench("kinds: {webhook: {https_only: true}}");
  (*bench.cells)[2] = "http://hooks.example/";
  CHECK(std::get<Failed>(bench.run()).code == "endpoint_forbidden");
  CHECK(bench.kind.http.requests.empty());
  (*bench.cells)[2] = "HTTPS://hooks.example/";
  bench.kind.http.answer(200);
  CHECK(std::holds_alternative<Completed>(bench.run()));
}

TEST_CASE("webhook: the kind registers under its name") {
  Bench bench;
  Registry registry;
  register_webhook(registry, bench.deps);
  CHECK(registry.find("webhook") != nullptr);
}

}  // namespace
}  // namespace rowcrew::webhook
