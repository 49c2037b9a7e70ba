#include "runtime/progress.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>

#include <fmt/format.h>

#include "unit/runtime/node_state_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct Bench : NodeStateBench {
  void report(int count) {
    for (int i = 0; i < count; ++i) {
      Job job;
      job.table = "job_queue";
      job.id = fmt::format("job-{:04}", i);
      job.claim_token = 1;
      progress.report(job, i % 100, std::nullopt, std::nullopt);
    }
  }
  bool written(const std::string& id) const {
    return std::any_of(db.asked.begin(), db.asked.end(), [&](const auto& asked) { return asked.params.at(0)->find(id) != std::string::npos; });
  }

  Progress progress{state};
};

}  // namespace

TEST_CASE("progress: many jobs that never stop talking do not silence those behind them") {
  Bench b;
  b.db.answer = [&](const FakeDb::Asked&) {
    b.report(500);  // they have said something more before this is answered
    return Rows(1);
  };
  boost::asio::co_spawn(b.io, b.progress.run(), [](std::exception_ptr) {});
  b.io.poll();
  b.report(600);
  b.io.poll();
  CHECK(b.written("job-0000"));
  CHECK(b.written("job-0599"));
  CHECK(b.db.asked.size() == 2);  // of the others' next words it is for the next second
}

TEST_CASE("progress: a checkpoint whose row is locked at that moment is written afterwards") {
  Bench b;
  b.state.identity.node_id = 1;
  b.state.lease.emplace(LeaseTimes::of(std::chrono::seconds(30)), b.clock.mono());
  bool locked = true;
  b.db.answer = [&](const FakeDb::Asked&) { return locked ? Rows(1) : one_row({"a"}); };
  LoopWatch watch(b.clock, b.log, StuckLimits{}, [] {});
  Job job;
  job.table = "job_queue";
  job.id = "a";
  job.claim_token = 7;
  const auto running = std::make_shared<RunningJob>(job, 0, watch);
  b.state.running.add(running);
  b.progress.report(job, std::nullopt, std::nullopt, "3");
  boost::asio::co_spawn(b.io, b.progress.flush_one(*running), [](std::exception_ptr) {});
  b.io.poll();
  CHECK(b.progress.waits(*running));
  locked = false;
  b.clock.advance(std::chrono::seconds(1));
  b.io.poll();
  CHECK_FALSE(b.progress.waits(*running));
  CHECK(b.db.asked.size() == 2);
}

TEST_CASE("progress: the last checkpoint of an execution is not overtaken by an earlier one that is on its way") {
  Bench b;
  b.state.identity.node_id = 1;
  b.state.lease.emplace(LeaseTimes::of(std::chrono::seconds(30)), b.clock.mono());
  LoopWatch watch(b.clock, b.log, StuckLimits{}, [] {});
  Job job;
  job.table = "job_queue";
  job.id = "a";
  job.claim_token = 7;
  const auto running = std::make_shared<RunningJob>(job, 0, watch);
  b.state.running.add(running);
  std::size_t written_meanwhile = 0;
  b.db.answer = [&](const FakeDb::Asked&) {
    if (written_meanwhile == 0) {  // the first one is not there yet when the execution ends
      written_meanwhile = 1;
      b.progress.report(job, std::nullopt, std::nullopt, "\"closed\"");
      boost::asio::co_spawn(b.io, b.progress.flush_one(*running), [](std::exception_ptr) {});
      b.io.poll();
      written_meanwhile = b.db.asked.size();
    }
    return one_row({"a"});
  };
  boost::asio::co_spawn(b.io, b.progress.run(), [](std::exception_ptr) {});
  b.io.poll();
  b.progress.report(job, std::nullopt, std::nullopt, "\"sent\"");
  b.io.poll();
  CHECK(written_meanwhile == 1);
  b.clock.advance(std::chrono::milliseconds(5));
  b.io.poll();
  CHECK_FALSE(b.progress.waits(*running));
  REQUIRE(b.db.asked.size() == 2);
  CHECK(b.db.asked[1].params.at(4)->find("closed") != std::string::npos);
}
