#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/job.hpp>
#include <rowcrew/job_transactions.hpp>

#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {
namespace {

struct Said final : JobProgress {
  void report(const Job& job, std::optional<int> percent, std::optional<std::string> note, std::optional<std::string> checkpoint) override {
    last_job = job.id;
    last_percent = percent;
    last_note = std::move(note);
    last_checkpoint_said = std::move(checkpoint);
  }
  boost::asio::awaitable<std::string> last_checkpoint(const Job&) override { co_return std::string("7"); }

  std::string last_job;
  std::optional<int> last_percent;
  std::optional<std::string> last_note;
  std::optional<std::string> last_checkpoint_said;
};

struct Lease final : LeaseView {
  Mono lease_until() const override { return Mono::max(); }
};

struct NoTransactions final : JobTransactions {
  Awaitable<std::vector<Settled>> call(SqlFunction, std::vector<JobContext*>, std::chrono::milliseconds) override { co_return std::vector<Settled>{}; }
  Awaitable<Settled> complete_with(JobContext&, std::function<std::string(Tx&)>) override { co_return settled(false); }
};

struct Bench {
  Bench() { job.id = "one"; }
  Lease lease;
  NoTransactions transactions;
  Job job;
  LogCapture log;
  Said said;
  JobContext::Node node{lease, transactions, &said};
  JobContext context{job, log, Mono{}, Mono{}, &node};
};

TEST_CASE("progress: a percentage stays between nothing and all, a note is optional") {
  Bench b;
  b.context.progress(45, "page 9");
  CHECK(b.said.last_job == "one");
  CHECK(b.said.last_percent == 45);
  CHECK(b.said.last_note == "page 9");
  CHECK_FALSE(b.said.last_checkpoint_said);
  b.context.progress(-3);
  CHECK(b.said.last_percent == 0);
  CHECK_FALSE(b.said.last_note);
  b.context.progress(250);
  CHECK(b.said.last_percent == 100);
}

TEST_CASE("progress: a note is cut at a character, and is text that the database can hold") {
  Bench b;
  b.context.progress(1, std::string(199, 'a') + "\xC3\xA4");
  CHECK(b.said.last_note == std::string(199, 'a'));
  b.context.progress(1, std::string("x\0y", 3));
  CHECK(b.said.last_note == "xy");
  b.context.progress(1, "caf\xE9");
  CHECK(b.said.last_note == "caf\xEF\xBF\xBD");
}

TEST_CASE("cancelled: a handler learns whether anybody goes on with its job, and without a node that somebody may") {
  struct Stop final : StopView {
    bool cancelled() const override { return asked; }
    bool asked = false;
  };
  Bench b;
  CHECK_FALSE(b.context.cancelled());
  Stop stop;
  b.node.stop = &stop;
  CHECK_FALSE(b.context.cancelled());
  stop.asked = true;
  CHECK(b.context.cancelled());
  JobContext alone(b.job, b.log, Mono{});
  CHECK_FALSE(alone.cancelled());
}

TEST_CASE("checkpoint: is JSON of a bounded size, and comes back") {
  Bench b;
  b.context.checkpoint(R"({"page": 3})");
  CHECK(b.said.last_checkpoint_said == R"({"page": 3})");
  CHECK_FALSE(b.said.last_percent);
  CHECK_THROWS_AS(b.context.checkpoint("{page: 3}"), PermanentError);
  CHECK_THROWS_AS(b.context.checkpoint(R"("\u0000")"), PermanentError);
  CHECK_THROWS_AS(b.context.checkpoint("\"" + std::string(65'536, 'x') + "\""), PermanentError);
  boost::asio::io_context io;
  CHECK(run(io, b.context.last_checkpoint()) == "7");
}

TEST_CASE("progress: where nobody listens words are dropped") {
  const Job job;
  LogCapture log;
  JobContext context(job, log, Mono{});
  context.progress(5);
  context.checkpoint("1");
  boost::asio::io_context io;
  CHECK(run(io, context.last_checkpoint()).empty());
}

}  // namespace
}  // namespace rowcrew::testing
