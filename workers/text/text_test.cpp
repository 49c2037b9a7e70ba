#include <doctest/doctest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <nlohmann/json.hpp>
#include <variant>

#include <rowcrew/error.hpp>
#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"
#include "text_handler.hpp"

namespace rowcrew::text {
namespace {

using namespace std::chrono_literals;
using namespace rowcrew::testing;
using nlohmann::json;

constexpr const char* kConfig = R"(
kinds:
  text:
    openai:
      api_key: sk-secret-0123456789
      base_url: https://openai.example.com/v1/
      timeout: 90s
      models: {mini: {input: 1, output: 10, max_output: 1000}, big: {input: 10, output: 100, max_output: 1000}}
    anthropic:
      models: {haiku: {input: 1, output: 5}}
)";
const std::string kAnswer = R"({"id":"chatcmpl-1","model":"mini-2026","choices":[{"message":{"content":"Good day."},"finish_reason":"stop"}],
                                "usage":{"prompt_tokens":100,"completion_tokens":50}})";

std::string payload(const std::string& model = "mini", const std::string& provider = "openai") {
  return R"({"provider":")" + provider + R"(","model":")" + model + R"(","prompt":"Tell me of the merger of Acme and Initech.","max_tokens":200})";
}

/// The handler with a database that has a ledger and a budget.
struct TextBench : KindBench {
  TextBench() : KindBench(kConfig) {
    db.answer = [this](const FakeDb::Asked& asked) {
      if (asked.name == "provider/book_call") return Rows(1);
      if (asked.name == "text_deaths_booked") return one_row({std::to_string(deaths_booked)});
      ++looks;
      return one_row(budget);
    };
  }

  struct Entry {
    std::string model, external_id, outcome;
    json units;
    std::int64_t cost;
    bool estimated;
  };
  std::vector<Entry> booked() const {
    std::vector<Entry> all;
    for (const auto& asked : db.asked) {
      if (asked.name != "provider/book_call") continue;
      const auto& p = asked.params;
      all.push_back({*p[6], p[7].value_or(""), *p[8], json::parse(*p[9]), std::stoll(*p[10]), *p[11] == "t"});
    }
    return all;
  }
  Outcome run(const std::string& text, std::chrono::milliseconds left = 1h) { return KindBench::run(handler, text, left); }
  std::string code(const std::string& text) {
    try {
      const Outcome outcome = run(text);
      if (const auto* failed = std::get_if<Failed>(&outcome)) return failed->code;
      if (const auto* retry = std::get_if<Retry>(&outcome)) return "again " + retry->code;
      if (std::holds_alternative<Snooze>(outcome)) return "snooze";
      return "completed";
    } catch (const PermanentError& error) {
      return error.code();
    }
  }

  FakeDb db;
  std::vector<std::optional<std::string>> budget = {std::nullopt, std::nullopt, std::nullopt, std::nullopt};
  int looks = 0;
  int deaths_booked = 0;
  Deps deps{db, ports, http, mail, children, clock, random, log, kinds};
  TextHandler handler{deps};
};

std::chrono::milliseconds snoozed(const Outcome& outcome) {
  const auto* snooze = std::get_if<Snooze>(&outcome);
  REQUIRE(snooze != nullptr);
  return snooze->after;
}

TEST_CASE("text: an answer is booked and is the result") {
  TextBench bench;
  bench.http.answer(200, {{"X-Request-Id", "req-7"}}, kAnswer);
  const Outcome outcome = bench.run(payload());
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(json::parse(std::get<Completed>(outcome).result) ==
        json::parse(R"({"text":"Good day.","stop":"stop","usage":{"input":100,"cached":0,"output":50},"cost_micros":600,"model":"mini-2026"})"));
  CHECK(bench.http.requests.at(0).url == "https://openai.example.com/v1/chat/completions");
  CHECK(bench.http.requests.at(0).timeout == 90s);
  REQUIRE(bench.booked().size() == 1);
  const auto entry = bench.booked()[0];
  CHECK(entry.model == "mini");
  CHECK(entry.external_id == "chatcmpl-1");
  CHECK(entry.outcome == "done");
  CHECK(entry.units == json{{"input", 100}, {"output", 50}});
  CHECK(entry.cost == 600);
  CHECK_FALSE(entry.estimated);
  REQUIRE(bench.log.lines("text.answered").size() == 1);
  CHECK(bench.log.lines("text.answered")[0].field("request_id") == "req-7");
  CHECK(bench.log.lines("text.answered")[0].field("cost_micros") == "600");
}

TEST_CASE("text: a call ends before the deadline of its job, so that it can be booked") {
  TextBench bench;
  bench.http.answer(200, {}, kAnswer);
  bench.run(payload(), 30s);
  CHECK(bench.http.requests.at(0).timeout == 28s);
}

TEST_CASE("text: only what the configuration names may be used, and no more than it allows") {
  TextBench bench;
  CHECK(bench.code(payload("gigantic")) == "model_not_allowed");
  CHECK(bench.code(R"({"provider":"openai","model":"mini","prompt":"a","max_tokens":1001})") == "bad_payload");
  CHECK(bench.code(R"({"provider":"openai","model":"mini","prompt":"a","max_tokens":10,"x":1})") == "bad_payload");
  CHECK(bench.http.requests.empty());
}

TEST_CASE("text: a provider without a key on this node is waited for, with a warning a minute") {
  TextBench bench;
  for (int i = 0; i < 3; ++i) CHECK(snoozed(bench.run(payload("haiku", "anthropic"))) == 1min);
  CHECK(bench.log.lines("provider.no_key").size() == 1);
  bench.clock.advance(61s);
  const Outcome outcome = bench.run(payload("unheard-of", "anthropic"));  // another node may know it
  CHECK(std::get<Snooze>(outcome).reason == "anthropic: this node has no key (kinds.text.anthropic.api_key)");
  CHECK(bench.log.lines("provider.no_key").size() == 2);
  CHECK(bench.booked().empty());
}

TEST_CASE("text: too many calls of one model keep nobody else from another") {
  TextBench bench;
  bench.http.answer(429, {{"Retry-After", "20"}}, R"({"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}})");
  CHECK(snoozed(bench.run(payload())) == 20s);
  CHECK(snoozed(bench.run(payload())) == 20s);
  CHECK(bench.http.requests.size() == 1);
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload("big")) == "completed");
  const auto closed = bench.log.lines("provider.closed");
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].level == LogLevel::warning);
  CHECK(closed[0].field("provider") == "openai");
  CHECK(closed[0].field("code") == "openai_rate_limited");
  bench.clock.advance(20s);
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  CHECK(bench.booked().size() == 2);  // what was refused costs nothing
}

TEST_CASE("text: a model that is gone shuts itself, a key that is refused shuts all") {
  TextBench bench;
  bench.http.answer(404, {}, R"({"error":{"message":"The model does not exist","type":"invalid_request_error","code":"model_not_found"}})");
  CHECK(snoozed(bench.run(payload("big"))) == ProviderLane::kFirstShut);
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  bench.http.answer(401, {}, R"({"error":{"message":"Incorrect API key provided: sk-secret-0123456789","type":"invalid_request_error","code":"invalid_api_key"}})");
  CHECK(snoozed(bench.run(payload())) == ProviderLane::kFirstShut);
  CHECK(bench.code(payload()) == "snooze");
  CHECK(bench.http.requests.size() == 3);
  const auto closed = bench.log.lines("provider.closed");
  REQUIRE(closed.size() == 2);
  CHECK(closed[1].level == LogLevel::error);
  CHECK(closed[1].field("code") == "openai_refuses_us");
  // Half a minute later one call goes first, and who comes behind it follows when it was answered.
  bench.clock.advance(31s);
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
}

TEST_CASE("text: a call that may have been done is booked as lost, by an estimate") {
  for (const char* code : {"http_timeout", "http_transfer"}) {
    CAPTURE(code);
    TextBench bench;
    bench.http.fail(TransientError(code, "no answer in time"));
    CHECK(bench.code(payload()) == std::string("again ") + code);
    REQUIRE(bench.booked().size() == 1);
    const auto entry = bench.booked()[0];
    CHECK(entry.outcome == "lost");
    CHECK(entry.estimated);
    CHECK(entry.units == json{{"input", 11}, {"output", 200}});
    CHECK(entry.cost == 11 + 2000);
  }
  TextBench bench;
  bench.http.fail(PermanentError("http_body_too_large", "too large"));
  CHECK(bench.code(payload()) == "http_body_too_large");
  CHECK(bench.booked().size() == 1);
  bench.http.fail(TransientError("http_connect", "refused"));
  CHECK(bench.code(payload()) == "again http_connect");
  bench.http.fail(PermanentError("egress_refused", "loopback"));
  CHECK(bench.code(payload()) == "egress_refused");
  CHECK(bench.booked().size() == 1);
}

TEST_CASE("text: a call that is cancelled under way is booked before the cancellation passes") {
  TextBench bench;
  bench.http.fail(boost::system::system_error(boost::asio::error::operation_aborted));
  CHECK_THROWS_AS(bench.run(payload()), boost::system::system_error);
  REQUIRE(bench.booked().size() == 1);
  CHECK(bench.booked()[0].outcome == "lost");
}

TEST_CASE("text: each death of a node is booked once, whatever became of its call") {
  TextBench bench;
  bench.job.crashes = 3;
  bench.deaths_booked = 1;
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  const auto entries = bench.booked();
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].outcome == "lost");
  CHECK(entries[0].units.at("crash") == 2);
  CHECK(entries[1].units.at("crash") == 3);
  CHECK(entries[2].outcome == "done");
  bench.deaths_booked = 3;
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  CHECK(bench.booked().size() == 4);
}

TEST_CASE("text: what was refused after the work is booked, and so is what cannot be read") {
  TextBench bench;
  bench.http.answer(200, {}, R"({"id":"c","choices":[{"message":{"content":null,"refusal":"I will not tell of Acme and Initech."},"finish_reason":"stop"}],
                                 "usage":{"prompt_tokens":100,"completion_tokens":7}})");
  CHECK(bench.code(payload()) == "openai_refused");
  bench.http.answer(200, {}, "{\"id\":");
  CHECK(bench.code(payload()) == "again openai_unreadable");
  const auto entries = bench.booked();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].outcome == "blocked");
  CHECK(entries[0].cost == 170);
  CHECK(entries[1].outcome == "lost");
  CHECK(entries[1].estimated);
}

TEST_CASE("text: a spent budget makes jobs wait without a call, and what is spent here counts at once") {
  TextBench bench;
  bench.budget = {"1000", "500", std::nullopt, std::nullopt};
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");  // 1100 by now
  CHECK(bench.looks == 1);
  bench.budget = {"1000", "1100", "7200000", "spent"};
  const Outcome outcome = bench.run(payload());
  CHECK(snoozed(outcome) == ProviderBudget::kLook);
  CHECK(std::get<Snooze>(outcome).reason.find("0.001000 are 0.001100 spent; the next day begins at midnight UTC") != std::string::npos);
  CHECK(bench.looks == 2);
  for (int i = 0; i < 5; ++i) CHECK(bench.code(payload()) == "snooze");
  CHECK(bench.looks == 2);
  REQUIRE(bench.log.lines("provider.budget_spent").size() == 1);
  CHECK(bench.log.lines("provider.budget_spent")[0].level == LogLevel::error);
  bench.clock.advance(1s);
  bench.budget = {"1000", "1100", "5000", std::nullopt};
  CHECK(snoozed(bench.run(payload())) == 5s);  // midnight comes first
  bench.clock.advance(1s);
  bench.budget = {"2000", "1650", std::nullopt, "low"};
  bench.http.answer(200, {}, kAnswer);
  CHECK(bench.code(payload()) == "completed");
  CHECK(bench.log.lines("provider.budget_low").size() == 1);
  CHECK(bench.http.requests.size() == 2);
}

TEST_CASE("text: words of the provider that quote prompt or key go nowhere") {
  TextBench bench;
  bench.http.answer(400, {}, R"({"error":{"message":"Cannot read: 'me of the merger of Acme and Ini'","type":"invalid_request_error","code":null}})");
  const Outcome outcome = bench.run(payload());
  REQUIRE(std::holds_alternative<Failed>(outcome));
  CHECK(std::get<Failed>(outcome).code == "openai_bad_request");
  CHECK(std::get<Failed>(outcome).message == "openai: answered 400; its words quote what it was sent and are left out");
  bench.http.answer(429, {}, R"({"error":{"message":"Limit of sk-secret-0123456789","type":"x","code":"insufficient_quota"}})");
  bench.run(payload());
  bench.http.answer(400, {}, R"({"error":{"message":"temperature is not supported","type":"invalid_request_error","code":"unsupported_parameter"}})");
  bench.clock.advance(1min);
  const Outcome plain = bench.run(payload());
  CHECK(std::get<Failed>(plain).message.find("temperature is not supported") != std::string::npos);
  for (const auto& line : bench.log.lines()) {
    std::string whole = line.message;
    for (const auto& [key, value] : line.fields) whole += value;
    CHECK(whole.find("Acme") == std::string::npos);
    CHECK(whole.find("sk-secret") == std::string::npos);
  }
}

}  // namespace
}  // namespace rowcrew::text
