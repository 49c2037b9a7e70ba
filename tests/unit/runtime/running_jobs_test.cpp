#include "runtime/running_jobs.hpp"

#include <doctest/doctest.h>

#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

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
  FakeClock clock;
  LogCapture log;
  LoopWatch watch(clock, log, StuckLimits{}, [] {});
  RunningJobs jobs;
  Job job;
  job.id = "a";
  job.claim_token = 7;
  const auto running = std::make_shared<RunningJob>(job, 1, watch);
  jobs.add(running);
  CHECK(jobs.runs(1, 7, "a"));
  CHECK_FALSE(jobs.runs(1, 8, "a"));
  CHECK_FALSE(jobs.runs(0, 7, "a"));
  jobs.remove(*running);
  CHECK_FALSE(jobs.runs(1, 7, "a"));
}
