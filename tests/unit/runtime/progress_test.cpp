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
