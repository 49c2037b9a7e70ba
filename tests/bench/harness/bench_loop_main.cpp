// limit-rowcrew: the product's own claim and finish statements, driven by nothing but libpq. Each
// connection claims a batch and notes every job's start; the next round trip ends the batch and claims
// another.
#include <fmt/format.h>
#include <libpq-fe.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/system_clock.hpp"
#include "loop_statements.hpp"
#include "protocol.hpp"
#include "pg/session.hpp"
#include "queue/watermarks.hpp"
#include "starts.hpp"

namespace rowcrew::bench {
namespace {

std::atomic<bool> stopping{false};

struct Close {
  void operator()(PGconn* c) const { PQfinish(c); }
};
struct Clear {
  void operator()(PGresult* r) const { PQclear(r); }
};
using Result = std::unique_ptr<PGresult, Clear>;

/// Statements of one round trip are one transaction, as on the node's lanes.
class Connection {
 public:
  Connection() : raw_(PQconnectdb("")) {
    if (PQstatus(raw_.get()) != CONNECTION_OK) fail();
    if (!good(Result(PQexec(raw_.get(), settings_batch(PoolOptions{}).c_str())))) fail();
  }
  void prepare(const char* name, const std::string& sql) {
    if (!good(Result(PQprepare(raw_.get(), name, sql.c_str(), 0, nullptr)))) fail();
  }
  void start() {
    if (PQenterPipelineMode(raw_.get()) != 1) fail();
  }
  void send(const char* name, const Params& params) {
    std::vector<const char*> values;
    for (const auto& value : params.values()) values.push_back(value ? value->c_str() : nullptr);
    if (PQsendQueryPrepared(raw_.get(), name, static_cast<int>(values.size()), values.data(), nullptr, nullptr, 0) != 1) fail();
    ++sent_;
  }
  /// The answer to the last of what was sent; the others' are only looked at for errors.
  Result answer() {
    if (PQpipelineSync(raw_.get()) != 1) fail();
    Result last;
    for (; sent_ > 0; --sent_) {
      last = next();
      if (!good(last)) fail();
      if (PQgetResult(raw_.get()) != nullptr) fail();
    }
    if (PQresultStatus(next().get()) != PGRES_PIPELINE_SYNC) fail();
    return last;
  }

 private:
  Result next() { return Result(PQgetResult(raw_.get())); }
  static bool good(const Result& result) {
    const auto status = PQresultStatus(result.get());
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
  }
  [[noreturn]] void fail() const {
    fmt::print(stderr, "loop: {}\n", PQerrorMessage(raw_.get()));
    std::_Exit(1);
  }

  std::unique_ptr<PGconn, Close> raw_;
  int sent_ = 0;
};

/// The marks of all connections, as a node has one set per job table.
class SharedMarks {
 public:
  std::vector<std::string> next() {
    const std::lock_guard lock(mutex_);
    const Mono now = clock_.mono();
    if (!marks_.sweep_due(LoopStatements::kQueue, now)) {
      const bool wide = marks_.wide_due(now);
      if (wide) marks_.widened(now);
      return marks_.marks(LoopStatements::kQueue, wide);
    }
    marks_.swept(LoopStatements::kQueue, marks_.resets(), now, {}, 0.5);
    return std::vector<std::string>(Watermarks::kPriorities, "-infinity");
  }
  void claimed(const Result& rows) {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
      if (PQgetisnull(rows.get(), i, LoopStatements::kId)) continue;
      marks_.note(LoopStatements::kQueue, std::atoi(PQgetvalue(rows.get(), i, LoopStatements::kPriority)),
                  std::atoll(PQgetvalue(rows.get(), i, LoopStatements::kRunAtUs)));
    }
    marks_.settle();
  }
  /// After an empty claim: what is left lies behind the marks.
  void reset() {
    const std::lock_guard lock(mutex_);
    marks_.reset();
  }

 private:
  std::mutex mutex_;
  SystemClock clock_;
  Watermarks marks_{Watermarks::Options{}};
};

class Loop {
 public:
  Loop(Starts& starts, std::int64_t batch) : starts_(starts), batch_(batch) {}

  void run() {
    Connection connection;
    LoopStatements statements;
    connection.prepare("claim", statements.claim());
    connection.prepare("finish", statements.finish());
    connection.start();
    std::mt19937_64 random{std::random_device{}()};
    std::int64_t token = 0;
    std::vector<std::string> ids;  // of `token`, to be ended
    while (!stopping || !ids.empty()) {
      if (!ids.empty()) connection.send("finish", LoopStatements::finish_params(token, ids));
      if (stopping) {
        connection.answer();
        return;
      }
      token = static_cast<std::int64_t>(random() >> 1);
      connection.send("claim", LoopStatements::claim_params(token, batch_, marks_.next()));
      const Result rows = connection.answer();
      marks_.claimed(rows);
      ids = start_all(rows);
      if (!ids.empty()) continue;
      marks_.reset();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

 private:
  std::vector<std::string> start_all(const Result& rows) {
    std::vector<std::string> ids;
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
      if (PQgetisnull(rows.get(), i, LoopStatements::kId)) continue;
      ids.emplace_back(PQgetvalue(rows.get(), i, LoopStatements::kId));
      starts_.hit(index_of(PQgetvalue(rows.get(), i, LoopStatements::kPayload)));
    }
    return ids;
  }

  Starts& starts_;
  std::int64_t batch_;
  std::mutex mutex_;  ///< of starts_, which is one thread's
  SharedMarks marks_;
};

int run() {
  Starts starts(static_cast<std::size_t>(number("BENCH_N", 0)));
  Loop loop(starts, number("BENCH_BATCH", 100));
  std::signal(SIGTERM, [](int) { stopping = true; });
  say_ready();
  {
    std::vector<std::jthread> threads;
    for (std::int64_t i = 0; i < number("BENCH_CONCURRENCY", 4); ++i) threads.emplace_back([&] { loop.run(); });
    while (!stopping) {
      starts.report();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  starts.write(text("BENCH_OUT", "/dev/null"));
  return 0;
}

}  // namespace
}  // namespace rowcrew::bench

int main() { return rowcrew::bench::run(); }
