#include "ingest/ingest_handler.hpp"

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include <rowcrew/db_error.hpp>

#include "base/cipher.hpp"
#include "scripted_db.hpp"
#include "support/exposition.hpp"
#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {
namespace {

constexpr std::string_view kKey = "rc_secret";

ServerRequest post(std::string body) {
  ServerRequest request;
  request.method = "POST";
  request.path = "/v1/jobs";
  request.peer = "192.0.2.7";
  request.headers = {{"Authorization", "Bearer " + std::string(kKey)},
                     {"Content-Type", "application/json"}};
  request.body = std::move(body);
  return request;
}

ServerRequest good() {
  return post(R"({"job_type":"mail","payload":{"n":1e400},"delay":"2s","tenant":"acme"})");
}

struct Bench {
  explicit Bench(ScriptedDb::Answer answer) : db(std::move(answer)) {}

  ServerResponse answer(ServerRequest request) {
    return run(io, handler.answer(std::move(request)));
  }

  boost::asio::io_context io;
  FakeClock clock;
  LogCapture log;
  ScriptedDb db;
  bool reachable = true;
  DatabaseProbe probe{db, [this] { return reachable; }, clock, log};
  IngestMetrics metrics;
  Hooks hooks;
  IngestHandler::Inbound inbound{hooks, clock};
  IngestHandler handler{db, probe, log, &metrics, &inbound};
};

Rows known_key_then(const Statement& statement, const std::function<Rows()>& enqueue) {
  return statement.name == "ingest/key" ? row({"shop"}) : enqueue();
}

[[noreturn]] void fail(const std::string& sqlstate, bool unknown = false) {
  throw DbError(ErrorClass::transient, sqlstate, "text of the server", sqlstate.empty(), unknown);
}

}  // namespace

TEST_CASE("a job is enqueued with what the request says, and answered after it") {
  Bench bench([](const Statement& s, const Params&) {
    return known_key_then(s, [] { return row({"id-1", "t"}); });
  });
  ServerRequest request = good();
  request.headers.emplace_back("Idempotency-Key", "order 17");
  const auto response = bench.answer(std::move(request));
  CHECK(response.status == 202);
  CHECK(nlohmann::json::parse(response.body) == nlohmann::json{{"id", "id-1"}, {"created", true}});
  REQUIRE(bench.db.calls().size() == 2);
  const auto& params = bench.db.calls()[1].params;
  REQUIRE(params.size() == 9);
  CHECK(params[0] == sha256_hex(kKey));
  CHECK(params[1] == "mail");
  CHECK(params[2] == R"({"n":1e400})");
  CHECK(params[3] == "order 17");
  CHECK_FALSE(params[4]);
  CHECK_FALSE(params[5]);
  CHECK(params[6] == "2000");
  CHECK_FALSE(params[7]);
  CHECK(params[8] == "acme");
}

TEST_CASE("the log tells of the job and of the key's name, never of the key") {
  Bench bench([](const Statement& s, const Params&) {
    return known_key_then(s, [] { return row({"id-1", "f"}); });
  });
  bench.answer(good());
  const auto lines = bench.log.lines("ingest.enqueued");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].field("job") == "id-1");
  CHECK(lines[0].field("job_type") == "mail");
  CHECK(lines[0].field("key") == "shop");
  CHECK(lines[0].field("created") == "false");
  for (const auto& line : bench.log.lines()) {
    for (const auto& [name, value] : line.fields) CHECK(value.find(kKey) == std::string::npos);
  }
}

TEST_CASE("without a key nothing is asked of the database") {
  Bench bench([](const Statement&, const Params&) { return Rows(1); });
  ServerRequest request = good();
  request.headers.erase(request.headers.begin());
  CHECK(bench.answer(std::move(request)).status == 401);
  CHECK(bench.db.calls().empty());
}

TEST_CASE("an unknown key is refused before the body is looked at") {
  Bench bench([](const Statement&, const Params&) { return Rows(1); });
  CHECK(bench.answer(post("no JSON")).status == 401);
  const auto lines = bench.log.lines("ingest.refused");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].level == LogLevel::info);
  CHECK(lines[0].field("status") == "401");
  CHECK(lines[0].field("reason") == "unauthorized");
  CHECK(lines[0].field("peer") == "192.0.2.7");
}

TEST_CASE("a bad body enqueues nothing and names the caller in the log") {
  Bench bench([](const Statement& s, const Params&) {
    return known_key_then(s, [] { return row({"id", "t"}); });
  });
  CHECK(bench.answer(post(R"({"job_type":"mail"})")).status == 400);
  CHECK(bench.db.calls().size() == 1);
  REQUIRE(bench.log.lines("ingest.refused").size() == 1);
  CHECK(bench.log.lines("ingest.refused")[0].field("key") == "shop");
}

TEST_CASE("a job type outside the key's scope is 403") {
  Bench bench([](const Statement& s, const Params&) {
    return known_key_then(s, []() -> Rows { fail("42501"); });
  });
  CHECK(bench.answer(good()).status == 403);
  CHECK(bench.probe.ready());
  CHECK(bench.log.lines("ingest.refused")[0].field("job_type") == "mail");
}

TEST_CASE("a transaction that was rolled back by chance is sent again") {
  int calls = 0;
  Bench bench([&](const Statement& s, const Params&) {
    return known_key_then(s, [&]() -> Rows {
      if (++calls < 3) fail("40001");
      return row({"id-1", "t"});
    });
  });
  CHECK(bench.answer(good()).status == 202);
  CHECK(calls == 3);
}

TEST_CASE("three times at most") {
  int calls = 0;
  Bench bench([&](const Statement& s, const Params&) {
    return known_key_then(s, [&]() -> Rows {
      ++calls;
      fail("40001");
    });
  });
  CHECK(bench.answer(good()).status == 503);
  CHECK(calls == 3);
}

TEST_CASE("an unknown outcome is never repeated here") {
  int calls = 0;
  Bench bench([&](const Statement& s, const Params&) {
    return known_key_then(s, [&]() -> Rows {
      ++calls;
      fail("", true);
    });
  });
  const auto response = bench.answer(good());
  CHECK(response.status == 503);
  CHECK(nlohmann::json::parse(response.body)["error"] == "outcome_unknown");
  CHECK(calls == 1);
  CHECK(bench.log.lines("ingest.refused")[0].level == LogLevel::warning);
}

TEST_CASE("a database that is away is 503 with Retry-After, and nothing else is tried") {
  Bench bench([](const Statement&, const Params&) -> Rows { fail(""); });
  const auto response = bench.answer(good());
  CHECK(response.status == 503);
  REQUIRE(response.headers.size() == 1);
  CHECK(response.headers[0].first == "Retry-After");
  CHECK(bench.db.calls().size() == 1);
}

TEST_CASE("the log tells what the database said about a refused job, and the client does not hear it") {
  const auto refused_for = [](const char* state) {
    Bench bench([&](const Statement& s, const Params&) {
      return known_key_then(s, [&]() -> Rows { fail(state); });
    });
    const auto response = bench.answer(good());
    CHECK(response.body.find("text of the server") == std::string::npos);
    return bench.log.lines("ingest.refused").at(0);
  };
  for (const char* const state : {"P0001", "53100", "57014", "23514", "42501"}) {
    CAPTURE(state);
    const auto line = refused_for(state);
    CHECK(line.field("code") == std::string("db_") + state);
    CHECK(line.field("database") == "text of the server");
  }
  const auto quoting = refused_for("22P02");  // such a sentence may name a value of the payload
  CHECK(quoting.field("code") == "db_22P02");
  CHECK(quoting.field("database").empty());

  Bench bench([](const Statement&, const Params&) -> Rows { fail("57014"); });  // the look-up of the key
  bench.answer(good());
  CHECK(bench.log.lines("ingest.refused").at(0).field("database") == "text of the server");
}

TEST_CASE("answers are counted by status and reason, questions for health are not") {
  Bench bench([](const Statement& s, const Params& p) {
    if (s.name == "ingest/key" && p.values()[0] != sha256_hex(kKey)) return Rows(1);
    return known_key_then(s, [] { return row({"id-1", "f"}); });
  });
  bench.answer(good());
  bench.answer(post("no JSON"));
  ServerRequest stranger = good();
  stranger.headers[0].second = "Bearer rc_other";
  bench.answer(std::move(stranger));
  ServerRequest probe;
  probe.method = "GET";
  probe.path = "/readyz";
  bench.answer(probe);
  const auto series = parse_exposition(bench.metrics.text());
  CHECK(series.at("rowcrew_ingest_requests_total{status=\"202\"}") == 1);
  CHECK(series.at("rowcrew_ingest_requests_total{status=\"400\"}") == 1);
  CHECK(series.at("rowcrew_ingest_requests_total{status=\"401\"}") == 1);
  CHECK(series.at("rowcrew_ingest_refused_total{reason=\"bad_request\"}") == 1);
  CHECK(series.at("rowcrew_ingest_refused_total{reason=\"unauthorized\"}") == 1);
  CHECK(series.at("rowcrew_ingest_duplicates_total") == 1);
  CHECK_FALSE(series.contains("rowcrew_ingest_requests_total{status=\"200\"}"));
}

TEST_CASE("health is always well, readiness follows the database") {
  Bench bench([](const Statement&, const Params&) -> Rows { fail("42883"); });
  ServerRequest request;
  request.method = "GET";
  request.path = "/readyz";
  CHECK(bench.answer(request).status == 200);
  bench.reachable = false;
  CHECK(bench.answer(request).status == 503);
  request.path = "/healthz";
  CHECK(bench.answer(request).status == 200);
  bench.reachable = true;
  CHECK(bench.answer(good()).status == 503);  // the schema is missing
  request.path = "/readyz";
  CHECK(bench.answer(request).status == 503);
  CHECK(bench.log.lines("ingest.not_set_up").size() == 1);
}

namespace {

/// A bench with the hook "pay" whose sender signs bodies alone, and a delivery of it.
struct HookBench : Bench {
  explicit HookBench(ScriptedDb::Answer answer) : Bench(std::move(answer)) {
    Hook hook;
    hook.name = "pay";
    hook.scheme = HookScheme::github;
    hook.secrets = {"s"};
    hook.key_hash = "00ff";
    hook.job_type = "sql";
    hook.entry = "paid";
    hooks.emplace("pay", hook);
  }
  static ServerRequest delivery(const std::string& path = "/v1/hooks/pay", const std::string& secret = "s") {
    ServerRequest request;
    request.method = "POST";
    request.path = path;
    request.body = R"({"n":1e400})";
    request.headers = {{"X-Hub-Signature-256", "sha256=" + to_hex(hmac_sha256(secret, request.body))}, {"X-GitHub-Event", "push"}};
    return request;
  }
};

}  // namespace

TEST_CASE("a signed event becomes one job in one statement, under the hook's own key") {
  HookBench bench([](const Statement&, const Params&) { return row({"id-1", "t"}); });
  const auto response = bench.answer(HookBench::delivery());
  CHECK(response.status == 202);
  REQUIRE(bench.db.calls().size() == 1);
  const auto& params = bench.db.calls()[0].params;
  CHECK(params[0] == "00ff");
  CHECK(params[1] == "sql");
  const std::string id = "sha256:" + sha256_hex(R"({"n":1e400})");
  CHECK(params[2] == R"({"entry":"paid","args":{"id":")" + id + R"(","type":"push","event":{"n":1e400}}})");
  CHECK(params[3] == id);
  const auto lines = bench.log.lines("ingest.enqueued");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].field("hook") == "pay");
  CHECK(lines[0].field("event_type") == "push");
}

TEST_CASE("what nobody of ours signed does not reach the database") {
  HookBench bench([](const Statement&, const Params&) { return row({"id-1", "t"}); });
  CHECK(bench.answer(HookBench::delivery("/v1/hooks/pay", "other")).status == 401);
  CHECK(bench.answer(HookBench::delivery("/v1/hooks/")).status == 404);
  CHECK(bench.answer(HookBench::delivery("/v1/hooks/pay/x")).status == 404);
  CHECK(bench.db.calls().empty());
}

TEST_CASE("an event that a hook does not want is taken and dropped, or its sender would repeat it for days") {
  HookBench bench([](const Statement&, const Params&) { return row({"id-1", "t"}); });
  bench.hooks.at("pay").events = {"ping", "pull"};
  const auto response = bench.answer(HookBench::delivery());
  CHECK(response.status == 200);
  CHECK(bench.db.calls().empty());
  bench.hooks.at("pay").events.push_back("push");
  CHECK(bench.answer(HookBench::delivery()).status == 202);
}

TEST_CASE("a hook whose own key is refused makes its sender come again, and says so to us") {
  for (const char* sqlstate : {"28000", "42501"}) {
    HookBench bench([&](const Statement&, const Params&) -> Rows { fail(sqlstate); });
    const auto response = bench.answer(HookBench::delivery());
    CHECK(response.status == 503);
    const auto lines = bench.log.lines("ingest.refused");
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].level == LogLevel::warning);
    CHECK(lines[0].message.find("api_key") != std::string::npos);
  }
}

}  // namespace rowcrew::testing
