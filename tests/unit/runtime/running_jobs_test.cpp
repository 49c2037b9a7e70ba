#include "runtime/running_jobs.hpp"

#include <doctest/doctest.h>

#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct Running {
  FakeClock clock;
  LogCapture log;
  LoopWatch watch{clock, log, StuckLimits{}, [] {}};
  RunningJobs jobs;

  /// Of the second table.
  RunningJobs::Ref add(const std::string& id, std::int64_t token) {
    Job job;
    job.id = id;
    job.claim_token = token;
    auto running = std::make_shared<RunningJob>(job, 1, watch);
    jobs.add(running);
    return running;
  }
};

}  // namespace

TEST_CASE("running jobs: one that has not ended goes with them, although its signal holds it") {
  FakeClock clock;
  LogCapture log;
  LoopWatch watch(clock, log, StuckLimits{}, [] {});
  std::weak_ptr<RunningJob> seen;
  {
    RunningJobs jobs;
    const auto running = std::make_shared<RunningJob>(Job{}, 0, watch);
    running->signal.slot().assign([running](boost::asio::cancellation_type) {});
    jobs.add(running);
    seen = running;
  }
  CHECK(seen.expired());
}

TEST_CASE("running jobs: one runs under its own claim only, and until it has ended") {
  Running r;
  const auto running = r.add("a", 7);
  CHECK(r.jobs.runs(1, 7, "a"));
  CHECK_FALSE(r.jobs.runs(1, 8, "a"));
  CHECK_FALSE(r.jobs.runs(0, 7, "a"));
  CHECK_FALSE(r.jobs.runs(1, 7, "b"));
  r.jobs.remove(*running);
  CHECK_FALSE(r.jobs.runs(1, 7, "a"));
}

TEST_CASE("running jobs: whichever one ends, and if it is told twice, the others go on running") {
  Running r;
  const auto a = r.add("a", 7);
  const auto b = r.add("b", 7);
  const auto c = r.add("c", 7);
  r.jobs.remove(*a);
  r.jobs.remove(*a);
  CHECK(r.jobs.size() == 2);
  r.jobs.remove(*b);
  CHECK_FALSE(r.jobs.runs(1, 7, "b"));
  CHECK(r.jobs.runs(1, 7, "c"));
  r.jobs.remove(*c);
  r.jobs.remove(*c);
  CHECK(r.jobs.empty());
}

TEST_CASE("running jobs: the first reason to stop counts, and the handler hears of it once") {
  Running r;
  int heard = 0;
  const auto a = r.add("a", 7);
  const auto b = r.add("b", 7);
  for (const auto& running : {a, b}) running->signal.slot().assign([&](boost::asio::cancellation_type) { ++heard; });
  r.jobs.stop_one(1, 7, "a", StopReason::cancelled);
  CHECK(b->reason == StopReason::none);
  r.jobs.stop_all(StopReason::stopping);
  CHECK(a->reason == StopReason::cancelled);
  CHECK(b->reason == StopReason::stopping);
  CHECK(heard == 2);
}

TEST_CASE("running jobs: of two executions of a job the later one is meant, unless its claim is lost") {
  Running r;
  const auto first = r.add("a", 7);
  const auto second = r.add("a", 8);
  r.add("b", 8);
  CHECK(r.jobs.find(1, "a") == second);
  CHECK(r.jobs.find(0, "a") == nullptr);
  r.jobs.stop_one(1, 8, "a", StopReason::claim_lost);
  CHECK(r.jobs.find(1, "a") == first);
  CHECK(r.jobs.jobs_of(1).size() == 3);
  CHECK(r.jobs.jobs_of(0).empty());
}
