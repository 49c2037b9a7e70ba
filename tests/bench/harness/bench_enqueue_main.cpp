// An application that enqueues by plain SQL over libpq, as the benchmark harness asks: one by one on
// several connections, in bulk, or at a steady rate.
#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "protocol.hpp"

namespace rowcrew::bench {
namespace {

struct Close {
  void operator()(PGconn* c) const { PQfinish(c); }
};

class Connection {
 public:
  Connection() : raw_(PQconnectdb("")) {
    check(PQstatus(raw_.get()) == CONNECTION_OK);
    prepare("one", "INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('bench', $1)");
    prepare("many", "INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'bench', p FROM unnest($1::jsonb[]) p");
  }
  void enqueue(std::int64_t from, std::int64_t n) {
    std::string payload;
    if (n == 1) {
      payload = fmt::format(R"({{"i":{}}})", from);
    } else {
      for (std::int64_t i = from; i < from + n; ++i) payload += fmt::format(R"({}"{{\"i\":{}}}")", payload.empty() ? "{" : ",", i);
      payload += "}";
    }
    const char* values[] = {payload.c_str()};
    PGresult* result = PQexecPrepared(raw_.get(), n == 1 ? "one" : "many", 1, values, nullptr, nullptr, 0);
    check(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
  }
  /// As an application loads many: the fastest way that PostgreSQL has.
  void copy(std::int64_t from, std::int64_t n) {
    PGresult* result = PQexec(raw_.get(), "COPY rowcrew.job_queue (job_type, payload) FROM STDIN");
    check(PQresultStatus(result) == PGRES_COPY_IN);
    PQclear(result);
    std::string lines;
    for (std::int64_t i = from; i < from + n; ++i) lines += fmt::format("bench\t{{\"i\":{}}}\n", i);
    check(PQputCopyData(raw_.get(), lines.data(), static_cast<int>(lines.size())) == 1 && PQputCopyEnd(raw_.get(), nullptr) == 1);
    while ((result = PQgetResult(raw_.get())) != nullptr) {
      check(PQresultStatus(result) == PGRES_COMMAND_OK);
      PQclear(result);
    }
  }

 private:
  void prepare(const char* name, const char* sql) {
    PGresult* result = PQprepare(raw_.get(), name, sql, 0, nullptr);
    check(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
  }
  void check(bool good) {
    if (good) return;
    fmt::print(stderr, "enqueue: {}\n", PQerrorMessage(raw_.get()));
    std::exit(1);
  }
  std::unique_ptr<PGconn, Close> raw_;
};

struct Times {
  double call = 0;
  double done = 0;
};

void wait_until(double when_us) {
  const timespec at{static_cast<time_t>(when_us / 1e6), static_cast<long>(static_cast<std::int64_t>(when_us * 1e3) % 1'000'000'000)};
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

int run() {
  const std::int64_t n = number("BENCH_N", 0);
  const std::string op = text("BENCH_OP", "bulk");
  const std::int64_t step = op == "single" ? 1 : op == "bulk" ? number("BENCH_BULK", 1000) : number("BENCH_TICK", 1);
  const double rate = op == "paced" ? static_cast<double>(number("BENCH_RATE", 20)) : 0;
  const std::int64_t connections = op == "bulk" ? 1 : number("BENCH_CONNS", 4);
  std::vector<std::unique_ptr<Connection>> open;
  for (std::int64_t i = 0; i < connections; ++i) open.push_back(std::make_unique<Connection>());
  fmt::print("READY\n");
  std::fflush(stdout);
  while (std::getchar() != '\n') {
  }
  std::vector<Times> times(static_cast<std::size_t>(n));
  std::atomic<std::int64_t> next{0};
  const double begin = now_us();
  std::vector<std::jthread> threads;
  for (auto& connection : open) {
    threads.emplace_back([&, c = connection.get()] {
      for (std::int64_t at = next.fetch_add(step); at < n; at = next.fetch_add(step)) {
        if (rate > 0) wait_until(begin + static_cast<double>(at) / rate * 1e6);
        const std::int64_t many = std::min(step, n - at);
        Times t;
        t.call = now_us();
        if (op == "bulk") {
          c->copy(at, many);
        } else {
          c->enqueue(at, many);
        }
        t.done = now_us();
        std::fill_n(times.begin() + at, many, t);
      }
    });
  }
  threads.clear();
  const double end = now_us();
  if (std::FILE* out = std::fopen(text("BENCH_OUT", "/dev/null").c_str(), "w")) {
    for (std::size_t i = 0; i < times.size(); ++i) fmt::print(out, "{} {:.1f} {:.1f}\n", i, times[i].call, times[i].done);
    std::fclose(out);
  }
  fmt::print("DONE {} {:.0f} {:.0f}\n", n, begin, end);
  return 0;
}

}  // namespace
}  // namespace rowcrew::bench

int main() { return rowcrew::bench::run(); }
