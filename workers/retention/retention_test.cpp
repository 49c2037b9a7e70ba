#include <doctest/doctest.h>

#include <deque>
#include <nlohmann/json.hpp>

#include <rowcrew/db_error.hpp>
#include <rowcrew/registry.hpp>

#include "retention_handler.hpp"
#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::retention {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::FakeDb;
using testing::KindBench;
using Cells = std::vector<std::optional<std::string>>;

struct Bench : KindBench {
  Bench() : KindBench("{}") {
    database.answer = [this](const FakeDb::Asked& asked) {
      if (asked.name == "retention_policies") return rows(policies);
      if (before_page) before_page(asked);
      if (pages.empty()) throw std::logic_error("a page without an answer");
      const Cells page = pages.front();
      pages.pop_front();
      return page.empty() ? Rows(5) : testing::one_row(page);
    };
  }

  static Rows rows(const std::vector<Cells>& all) {
    Rows rows(4);
    for (const Cells& row : all) {
      for (const auto& cell : row) {
        rows.append(cell ? std::optional<std::string_view>(*cell) : std::nullopt);
      }
    }
    return rows;
  }

  Outcome run(const std::string& payload, std::chrono::milliseconds left = 1h) {
    RetentionHandler handler(with);
    return KindBench::run(handler, payload, left);
  }

  std::vector<Cells> policies;  ///< name, enabled, dry_run, resume_after
  std::deque<Cells> pages;      ///< looked_at, removed, archived, next, kept
  std::function<void(const FakeDb::Asked&)> before_page;
  FakeDb database;
  Deps with{database, ports, http, mail, children, clock, random, log, kinds};
};

std::string failure(const Outcome& outcome) {
  const auto* failed = std::get_if<Failed>(&outcome);
  return failed == nullptr ? "" : failed->code;
}

TEST_CASE("retention: pages are followed to the end of every policy and added up") {
  Bench bench;
  bench.policies = {{"a", "t", "f", std::nullopt}, {"b", "t", "t", "from-a-walk"}};
  bench.pages = {{"10", "3", "3", "k1", "0"}, {"10", "0", "0", "k2", "0"}, {"4", "1", "1", std::nullopt, "2"},
                 {"7", "2", "0", std::nullopt, "0"}};
  const json result = json::parse(std::get<Completed>(bench.run("{}")).result);
  CHECK(result == json::parse(R"({"policies": [
    {"name": "a", "looked_at": 24, "removed": 4, "archived": 4, "kept": 2, "dry_run": false},
    {"name": "b", "looked_at": 7, "removed": 2, "archived": 0, "kept": 0, "dry_run": true}]})"));
  REQUIRE(bench.database.asked.size() == 5);
  CHECK(bench.database.asked[0].params == Cells{std::nullopt, bench.job.id, bench.job.table});
  CHECK(bench.database.asked[1].params == Cells{"a", "f", std::nullopt, bench.job.id, bench.job.table});
  CHECK(bench.database.asked[2].params == Cells{"a", "f", "k1", bench.job.id, bench.job.table});
  CHECK(bench.database.asked[3].params == Cells{"a", "f", "k2", bench.job.id, bench.job.table});
  // A dry run counts from the beginning, wherever a real walk has come to.
  CHECK(bench.database.asked[4].params == Cells{"b", "t", std::nullopt, bench.job.id, bench.job.table});
}

TEST_CASE("retention: a walk that was broken off goes on where it was") {
  Bench bench;
  bench.policies = {{"a", "t", "f", "k7"}};
  bench.pages = {{"1", "1", "0", std::nullopt, "0"}};
  bench.run("{}");
  CHECK(bench.database.asked[1].params[2] == "k7");
}

TEST_CASE("retention: near the deadline it says what was done and comes back") {
  Bench bench;
  bench.policies = {{"a", "t", "f", std::nullopt}, {"b", "t", "f", std::nullopt}};
  bench.pages = {{"10", "3", "0", "k1", "0"}, {"10", "3", "0", "k2", "0"}};
  bench.before_page = [&](const FakeDb::Asked&) { bench.clock.advance(20s); };
  const Outcome outcome = bench.run("{}", 60s);
  REQUIRE(std::holds_alternative<Snooze>(outcome));
  CHECK(std::get<Snooze>(outcome).after == 1s);
  CHECK(bench.pages.empty());
  CHECK(bench.log.lines("retention.paused").size() == 1);

  // Also between two policies, and never without a page.
  bench.pages = {{"10", "3", "0", std::nullopt, "0"}};
  CHECK(std::holds_alternative<Snooze>(bench.run("{}", 10s)));
  bench.policies.pop_back();
  bench.pages = {{"10", "3", "0", std::nullopt, "0"}};
  CHECK(std::holds_alternative<Completed>(bench.run("{}", 10s)));
}

TEST_CASE("retention: a dry run that does not fit into its time fails instead of starting over") {
  Bench bench;
  bench.policies = {{"a", "t", "f", std::nullopt}};
  bench.pages = {{"10", "3", "0", "k1", "0"}};
  CHECK(failure(bench.run(R"({"dry_run": true})", 10s)) == "dry_run_too_long");
}

TEST_CASE("retention: a policy that is not there, or switched off, is named") {
  Bench bench;
  CHECK(failure(bench.run(R"({"policy": "none"})")) == "unknown_policy");
  CHECK(std::holds_alternative<Completed>(bench.run("{}")));
  bench.policies = {{"off", "f", "f", std::nullopt}};
  CHECK(failure(bench.run(R"({"policy": "off"})")) == "policy_disabled");
  bench.pages = {{"5", "5", "0", std::nullopt, "0"}};
  CHECK(std::holds_alternative<Completed>(bench.run(R"({"policy": "off", "dry_run": true})")));
}

TEST_CASE("retention: a policy that vanishes during its walk ends it") {
  Bench bench;
  bench.policies = {{"a", "t", "f", std::nullopt}};
  bench.pages = {{"10", "3", "0", "k1", "0"}, {}};
  CHECK(std::holds_alternative<Completed>(bench.run("{}")));
}

TEST_CASE("retention: rows that the database keeps fail the job, after all other policies ran") {
  Bench bench;
  bench.policies = {{"a", "t", "f", std::nullopt}, {"b", "t", "f", std::nullopt}};
  bench.pages = {{"5", "5", "0", std::nullopt, "0"}};
  bench.before_page = [](const FakeDb::Asked& asked) {
    if (asked.params[0] == "a") throw DbError(ErrorClass::permanent, "23503", "no", false, false);
  };
  CHECK(failure(bench.run("{}")) == "policy_refused");
  CHECK(bench.pages.empty());
  bench.before_page = [](const FakeDb::Asked&) {
    throw DbError(ErrorClass::transient, "40P01", "deadlock", false, false);
  };
  CHECK_THROWS_AS(bench.run("{}"), DbError);
}

TEST_CASE("retention: any other payload is refused") {
  Bench bench;
  for (const char* payload : {R"({"policy": 1})", R"({"dry_run": "yes"})", R"({"age": "1 day"})",
                              R"({"policy": null})", R"([])"}) {
    CAPTURE(payload);
    CHECK_THROWS_AS(bench.run(payload), PermanentError);
  }
  CHECK(bench.database.asked.empty());
}

TEST_CASE("retention: is registered under its name") {
  Bench bench;
  Registry registry;
  register_retention(registry, bench.with);
  CHECK(registry.find("retention") != nullptr);
}

}  // namespace
}  // namespace rowcrew::retention
