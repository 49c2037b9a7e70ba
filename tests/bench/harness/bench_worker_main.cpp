// A node as the benchmark harness runs it: rowcrewd with one handler that notes when it starts.
#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include <rowcrew/handler.hpp>

#include "pg/pool.hpp"
#include "programs/node_program.hpp"
#include "protocol.hpp"
#include "starts.hpp"

namespace rowcrew::bench {
namespace {

class BenchHandler final : public Handler {
 public:
  explicit BenchHandler(Starts& starts) : starts_(starts) {}
  boost::asio::awaitable<Outcome> run(JobContext& context) override {
    starts_.hit(index_of(context.job().payload));
    co_return Outcome(Completed());
  }

 private:
  Starts& starts_;
};

std::string database_url() {
  return fmt::format("postgresql://{}@/{}?host={}&port={}", text("PGUSER"), text("PGDATABASE"), text("PGHOST"), text("PGPORT", "5432"));
}

/// The harness copies databases, and a copy is nobody's until it is taken over.
void take_over(const std::string& url) {
  PoolOptions options;
  options.url = url;
  run_once(options, TxMode::autocommit, [](Tx& tx) { tx.exec(Statement{"takeover", "SELECT rowcrew.takeover()"}); });
}

int run() {
  Starts starts(static_cast<std::size_t>(number("BENCH_N", 0)));
  const std::string url = database_url();
  take_over(url);
  NodeProgram program;
  program.flags["database.url"] = url;
  program.flags["node.name"] = "bench";
  program.flags["node.tables"] = text("BENCH_TABLES", "job_queue");
  program.flags["queues.default"] = text("BENCH_CONCURRENCY", "10");
  // The harness's batch: how many jobs may be claimed ahead; 1 is none.
  const std::string batch = text("BENCH_BATCH", "500");
  program.flags["node.prefetch"] = batch == "1" ? "0" : batch;
  program.flags["log.level"] = "warning";
  program.more_handlers = [&](Registry& registry, Deps&) {
    registry.add("bench", std::make_unique<BenchHandler>(starts));
    say_ready();
  };
  std::mutex mutex;
  std::condition_variable_any stopping;
  std::jthread reporter([&](std::stop_token stop) {
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      stopping.wait_for(lock, stop, std::chrono::milliseconds(10), [] { return false; });
      starts.report();
    }
  });
  const int status = run_node_program(program);
  reporter.request_stop();
  reporter.join();
  starts.write(text("BENCH_OUT", "/dev/null"));
  return status;
}

}  // namespace
}  // namespace rowcrew::bench

int main() { return rowcrew::bench::run(); }
