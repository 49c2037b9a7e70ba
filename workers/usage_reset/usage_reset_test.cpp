#include <doctest/doctest.h>

#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>

#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"
#include "usage_reset_handler.hpp"

namespace rowcrew::usage_reset {
namespace {

using testing::FakeDb;
using testing::KindBench;

struct Bench : KindBench {
  Bench() : KindBench("{}") {}
  FakeDb database;
  Deps with{database, ports, http, mail, children, clock, random, log, kinds};
};

TEST_CASE("usage reset: completes with how many periods the port of the job's app opened") {
  Bench bench;
  bench.job.app = "shop";
  bench.database.answer = [](const FakeDb::Asked&) { return testing::one_row({"12"}); };
  UsageResetHandler handler(bench.with);
  const Outcome outcome = bench.run(handler, "{}");
  CHECK(std::get<Completed>(outcome).result == R"({"opened":12})");
  CHECK(bench.ports.apps == std::set<std::string>{"shop"});
  REQUIRE(bench.database.asked.size() == 1);
}

TEST_CASE("usage reset: a port that answers NULL opened nothing") {
  Bench bench;
  bench.database.answer = [](const FakeDb::Asked&) { return testing::one_row({std::nullopt}); };
  UsageResetHandler handler(bench.with);
  CHECK(std::get<Completed>(bench.run(handler, "{}")).result == R"({"opened":0})");
}

TEST_CASE("usage reset: what the port raises leaves the handler as it is") {
  Bench bench;
  bench.database.answer = [](const FakeDb::Asked&) -> Rows {
    throw TransientError("db_40001", "try again");
  };
  UsageResetHandler handler(bench.with);
  CHECK_THROWS_AS(bench.run(handler, "{}"), TransientError);
}

TEST_CASE("usage reset: is registered under its name") {
  Bench bench;
  Registry registry;
  register_usage_reset(registry, bench.with);
  CHECK(registry.find("usage_reset") != nullptr);
}

}  // namespace
}  // namespace rowcrew::usage_reset
