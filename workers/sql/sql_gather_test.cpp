#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <deque>
#include <memory>

#include <rowcrew/db_error.hpp>

#include "sql_gather.hpp"
#include "support/fake_clock.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/log_capture.hpp"

namespace rowcrew::sql_kind {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// Jobs that run through one Gather; time moves when the test says so.
struct GatherBench {
  explicit GatherBench(std::size_t batch) {
    entry.name = "count";
    entry.batch = batch;
    entry.timeout = 10min;
  }

  struct Running {
    Job job;
    std::unique_ptr<JobContext> context;
    asio::cancellation_signal signal;
    std::string end = "runs";
  };

  void start(int n, const std::string& table = "job_queue") {
    for (int i = 0; i < n; ++i) {
      Running& running = jobs.emplace_back();
      running.job.id = std::to_string(jobs.size());
      running.job.table = table;
      running.context = std::make_unique<JobContext>(running.job, log, Mono::max(), clock.mono(), &node);
      auto on_end = [&running](std::exception_ptr error, std::optional<Settled> settled) {
        running.end = settled ? (settled->ours() ? "done" : "lost") : "failed";
        try {
          if (error) std::rethrow_exception(error);
        } catch (const boost::system::system_error&) {
          running.end = "stopped";
        } catch (const std::exception&) {
        }
      };
      asio::co_spawn(io, one(*running.context), asio::bind_cancellation_slot(running.signal.slot(), on_end));
    }
  }
  asio::awaitable<std::optional<Settled>> one(JobContext& context) { co_return co_await gather.run(context); }
  void turn() {
    io.restart();
    io.poll();
  }
  void advance(std::chrono::milliseconds by) {
    clock.advance(by);
    turn();
  }
  /// The ids of each call.
  std::string calls() const {
    std::string text;
    for (const auto& call : transactions.calls) {
      if (!text.empty()) text += " ";
      for (const std::string& id : call.ids) text += (id == call.ids.front() ? "" : "+") + id;
    }
    return text;
  }
  std::string ends() const {
    std::string text;
    for (const Running& running : jobs) text += (text.empty() ? "" : " ") + running.end;
    return text;
  }

  asio::io_context io{1};
  testing::FakeClock clock;
  testing::LogCapture log;
  testing::FakeJobTransactions transactions{clock};
  testing::EndlessLease lease;
  JobContext::Node node{lease, transactions};
  Entry entry;
  Gather gather{entry, clock};
  std::deque<Running> jobs;
};

}  // namespace

TEST_CASE("gather: a job alone waits for nobody") {
  GatherBench b(50);
  b.start(1);
  b.turn();
  CHECK(b.calls() == "1");
  CHECK(b.ends() == "done");
  CHECK(b.clock.sleepers() == 0);
}

TEST_CASE("gather: jobs that start together share a transaction, no more than the batch") {
  GatherBench b(3);
  b.start(7);
  b.turn();
  CHECK(b.calls() == "1+2+3 4+5+6 7");
  CHECK(b.ends() == "done done done done done done done");
}

TEST_CASE("gather: while a transaction is under way others gather, no longer than two milliseconds") {
  GatherBench b(4);
  b.transactions.takes = 100ms;
  b.start(1);
  b.turn();
  b.start(1);
  b.turn();
  b.advance(1ms);
  b.start(1);
  b.turn();
  CHECK(b.calls() == "1");
  b.advance(1ms);
  CHECK(b.calls() == "1 2+3");
  b.start(4);
  b.turn();
  CHECK(b.calls() == "1 2+3 4+5+6+7");
}

TEST_CASE("gather: what has gathered goes when the transaction before it ends") {
  GatherBench b(4);
  b.transactions.takes = 1ms;
  b.start(1);
  b.turn();
  b.start(2);
  b.turn();
  CHECK(b.calls() == "1");
  b.advance(1ms);
  CHECK(b.calls() == "1 2+3");
  CHECK(b.ends() == "done runs runs");
}

TEST_CASE("gather: when one fails, the others of its transaction run again, each alone") {
  GatherBench b(3);
  b.transactions.refuse = [](const auto& call) {
    for (const std::string& id : call.ids) {
      if (id == "2") throw DbError(ErrorClass::permanent, "23505", "taken", false, false);
    }
  };
  b.start(3);
  b.turn();
  CHECK(b.calls() == "1+2+3 3 1 2");  // whose turn it is goes on first
  CHECK(b.ends() == "done failed done");
}

TEST_CASE("gather: one that fails alone is not called again") {
  GatherBench b(3);
  b.transactions.refuse = [](const auto&) { throw DbError(ErrorClass::permanent, "23505", "taken", false, false); };
  b.start(1);
  b.turn();
  CHECK(b.calls() == "1");
  CHECK(b.ends() == "failed");
}

TEST_CASE("gather: a transaction is about one job table") {
  GatherBench b(4);
  b.start(2, "job_queue");
  b.start(1, "processing_jobs");
  b.start(1, "job_queue");
  b.turn();
  CHECK(b.calls() == "1+2+4 3");
}

TEST_CASE("gather: a job that is stopped while it waits leaves, the others go without it") {
  GatherBench b(4);
  b.transactions.takes = 100ms;
  b.start(3);
  b.turn();
  b.start(2);
  b.turn();
  b.jobs[3].signal.emit(asio::cancellation_type::terminal);
  b.turn();
  CHECK(b.ends() == "runs runs runs stopped runs");
  b.advance(2ms);
  CHECK(b.calls() == "1+2+3 5");
}

TEST_CASE("gather: a job that is stopped while its transaction runs learns how that ended") {
  GatherBench b(4);
  b.transactions.takes = 100ms;
  b.start(2);
  b.turn();
  b.jobs[0].signal.emit(asio::cancellation_type::terminal);
  b.turn();
  CHECK(b.ends() == "runs runs");
  b.advance(100ms);
  CHECK(b.ends() == "done done");
  SUBCASE("and runs no more when it was undone") {
    b.transactions.refuse = [](const auto&) { throw DbError(ErrorClass::transient, "40001", "again", false, false); };
    b.start(2);
    b.turn();
    b.jobs[2].signal.emit(asio::cancellation_type::terminal);
    b.advance(100ms);
    b.advance(100ms);
    CHECK(b.ends() == "done done stopped failed");
  }
}

}  // namespace rowcrew::sql_kind
