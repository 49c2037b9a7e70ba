// A node as the benchmark harness runs it: rowcrewd with one handler that notes when it starts.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include <rowcrew/handler.hpp>

#include "pg/pool.hpp"
#include "programs/node_program.hpp"
#include "protocol.hpp"

namespace rowcrew::bench {
namespace {

/// Written on the event thread, read by the reporter.
class Starts {
 public:
  explicit Starts(std::size_t n) : times_(n, 0) {}

  void hit(std::size_t i) {
    const double now = now_us();
    if (i < times_.size() && times_[i] == 0) {
      times_[i] = now;
      ++distinct_;
    }
    if (count_.load(std::memory_order_relaxed) == 0) first_.store(now, std::memory_order_relaxed);
    last_.store(now, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_release);
  }
  void report() {
    const auto count = count_.load(std::memory_order_acquire);
    if (count == said_) return;
    said_ = count;
    fmt::print("P {} {:.0f} {:.0f}\n", count, first_.load(), last_.load());
    std::fflush(stdout);
  }
  void write(const std::string& path) const {
    std::FILE* out = std::fopen(path.c_str(), "w");
    if (out != nullptr) {
      for (std::size_t i = 0; i < times_.size(); ++i) {
        if (times_[i] != 0) fmt::print(out, "{} {:.1f}\n", i, times_[i]);
      }
      std::fclose(out);
    }
    fmt::print("EXEC {} {}\n", count_.load(), distinct_);
    std::fflush(stdout);
  }

 private:
  std::vector<double> times_;
  std::size_t distinct_ = 0;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<double> first_{0};
  std::atomic<double> last_{0};
  std::uint64_t said_ = 0;
};

/// The number behind "i": in the payload {"i": 17}, wherever it stands.
std::size_t index_of(std::string_view payload) {
  std::size_t i = 0;
  for (const char c : payload) {
    if (c >= '0' && c <= '9') i = i * 10 + static_cast<std::size_t>(c - '0');
  }
  return i;
}

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
  program.flags["node.tables"] = "job_queue";
  program.flags["queues.default"] = text("BENCH_CONCURRENCY", "10");
  // The harness's batch: how many jobs may be claimed ahead; 1 is none.
  const std::string batch = text("BENCH_BATCH", "500");
  program.flags["node.prefetch"] = batch == "1" ? "0" : batch;
  program.flags["log.level"] = "warning";
  program.more_handlers = [&](Registry& registry, Deps&) {
    registry.add("bench", std::make_unique<BenchHandler>(starts));
    fmt::print("READY\n");
    std::fflush(stdout);
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
