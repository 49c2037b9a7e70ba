#include "runtime/node_state.hpp"

#include <doctest/doctest.h>

#include "base/event.hpp"
#include "unit/runtime/node_state_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;

namespace {

DbError lost(const char* sqlstate) { return {ErrorClass::transient, sqlstate, "database: it is gone", true, false}; }

struct Bench : NodeStateBench {
  /// What a node says of claims that fail with `error` for six seconds.
  std::size_t lines_after(const Error& error) {
    for (int i = 0; i <= 6; ++i) {
      state.failed("claims", "job_queue", event::kClaimFailed, error);
      clock.advance(1s);
    }
    return log.lines(event::kWorkFailing).size();
  }
};

}  // namespace

TEST_CASE("node state: work that loses every connection is told of; who connected says nothing of that") {
  CHECK(Bench().lines_after(lost("")) == 1);
  CHECK(Bench().lines_after(lost("25006")) == 1);
  CHECK(Bench().lines_after(TransientError("db_timeout", "no thread was free")) == 1);
}

TEST_CASE("node state: work that never gets a connection is left to db.unreachable and db.crowded") {
  CHECK(Bench().lines_after(lost("08001")) == 0);
  CHECK(Bench().lines_after(lost("53300")) == 0);
  CHECK(Bench().lines_after(TransientError("db_stopped", "the pool has been stopped")) == 0);
  // The server had none left for a function that it runs: that is the work's own failure.
  CHECK(Bench().lines_after(DbError(ErrorClass::transient, "53300", "remote", false, false)) == 1);
}

TEST_CASE("node state: a table that the leader does not serve is looked after by everybody who does") {
  Bench b;
  const TableState& jobs = *b.state.tables.at(0);
  const TableState& generations = *b.state.tables.at(1);
  CHECK_FALSE(b.state.led(jobs));
  b.state.leader_present = true;
  b.state.leader_tables = {"job_queue", "*"};  // adopted ones, which these two are not
  CHECK(b.state.led(jobs));
  CHECK_FALSE(b.state.leads(jobs));
  CHECK_FALSE(b.state.led(generations));
  CHECK(b.state.leads(generations));
  CHECK_FALSE(b.state.all_led());
  b.state.leader = true;
  CHECK(b.state.all_led());
  CHECK(b.state.leads(jobs));
}
