#include "programs/bench/bench_run.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <ctime>
#include <functional>
#include <mutex>
#include <rowcrew/error.hpp>

#include "programs/bench/bench_node.hpp"
#include "programs/bench/sender.hpp"

namespace rowcrew::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 2ms;
constexpr auto kLongest = 10min;  ///< until every job has started, and from there until all are written

double cpu_seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// All threads of the process but the asking one are the node's.
double node_cpu_seconds() { return cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_seconds(CLOCK_THREAD_CPUTIME_ID); }

void await(const BenchNode& node, const std::string& what, const std::function<bool()>& done) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  const Instant until = std::chrono::steady_clock::now() + kLongest;
  while (!done()) {
    if (node.ended()) throw TransientError("bench", "bench: the node ended before " + what);
    if (std::chrono::steady_clock::now() > until) throw TransientError("bench", "bench: waited in vain for " + what);
    never.wait_for(lock, kLook, [] { return false; });
  }
}

struct Spent {
  double cpu = 0;
  ServerCost server;
};

Spent spent_so_far(BenchDatabase& database) { return {node_cpu_seconds(), database.cost()}; }

void add_costs(Figures& figures, const Spent& before, const Spent& after, std::int64_t jobs) {
  const auto n = static_cast<double>(jobs);
  std::optional<double> statements;
  if (before.server.statements && after.server.statements) {
    statements = static_cast<double>(*after.server.statements - *before.server.statements) / n;
  }
  figures.add("worker_cpu_ms_per_1000", "worker CPU, ms per 1,000 jobs", (after.cpu - before.cpu) * 1e6 / n, 2);
  figures.add("wal_bytes_per_job", "WAL, bytes per job", static_cast<double>(after.server.wal_bytes - before.server.wal_bytes) / n);
  figures.add("statements_per_job", "statements per job", statements, 4);
}

void finish(BenchRun& run, BenchNode& node, const StartTimes& starts) {
  await(node, "the last job was written", [&] { return !run.database.unfinished(node.name()); });
  if (starts.distinct() < starts.jobs()) throw BugError("bench", fmt::format("bench: {} of {} jobs have started", starts.distinct(), starts.jobs()));
}

void check_ended(BenchRun& run, std::int64_t expected) {
  const EndedJobs ended = run.database.ended();
  if (ended.completed == expected && ended.others == 0) return;
  throw BugError("bench", fmt::format("bench: {} jobs completed and {} did not, expected {} completed", ended.completed, ended.others, expected));
}

Figures drain(BenchRun& run) {
  const std::int64_t jobs = run.options.jobs;
  const double loading = Sender(run.connection, 1, to_job_queue()).in_bulk(jobs, run.options.batch);
  StartTimes starts(static_cast<std::size_t>(jobs));
  const Spent before = spent_so_far(run.database);
  BenchNode node(run.arguments, run.environment, run.options.slots, starts);
  await(node, "every job had started", [&] { return starts.distinct() == starts.jobs(); });
  finish(run, node, starts);
  const double seconds = milliseconds_between(starts.first(), std::chrono::steady_clock::now()) / 1000;
  const Spent after = spent_so_far(run.database);
  node.stop();
  check_ended(run, jobs);
  Figures figures;
  figures.add("jobs", "jobs", static_cast<double>(jobs));
  figures.add("executions", "handlers run", static_cast<double>(starts.executions()));
  figures.add("enqueued_per_s", "enqueued in bulk, jobs/s", static_cast<double>(jobs) / loading);
  figures.add("jobs_per_s", "drained, jobs/s", static_cast<double>(jobs) / seconds);
  add_costs(figures, before, after, jobs);
  return figures;
}

/// The node has met one job from end to end and then none: it is idle, and listens.
void warm_up(BenchRun& run, BenchNode& node, Sender& sender, const StartTimes& starts) {
  sender.one(run.options.jobs);
  await(node, "its first job", [&] { return starts.strangers() > 0; });
  await(node, "its first job was written", [&] { return !run.database.unfinished(node.name()); });
}

Figures paced(BenchRun& run) {
  const BenchOptions& options = run.options;
  const std::int64_t batch = options.mode == Mode::latency ? 1 : std::max<std::int64_t>(1, options.rate / 100);
  StartTimes starts(static_cast<std::size_t>(options.jobs));
  Sender sender(run.connection, 1, to_job_queue());
  BenchNode node(run.arguments, run.environment, options.slots, starts);
  warm_up(run, node, sender, starts);
  const Spent before = spent_so_far(run.database);
  const Instant begin = std::chrono::steady_clock::now();
  const std::vector<Instant> returned = sender.paced(options.jobs, options.rate, batch, [&] { return !node.ended(); });
  const double seconds = milliseconds_between(begin, std::chrono::steady_clock::now()) / 1000;
  const auto backlog = static_cast<double>(starts.jobs() - starts.distinct());
  await(node, "every job had started", [&] { return starts.distinct() == starts.jobs(); });
  finish(run, node, starts);
  const Spent after = spent_so_far(run.database);
  node.stop();
  check_ended(run, options.jobs + 1);
  std::vector<double> waits;
  for (std::size_t job = 0; job < returned.size(); ++job) waits.push_back(milliseconds_between(returned[job], starts.of(job)));
  Figures figures;
  figures.add("jobs", "jobs", static_cast<double>(options.jobs));
  figures.add("executions", "handlers run", static_cast<double>(starts.executions()));
  figures.add("enqueued_per_s", "enqueued, jobs/s", static_cast<double>(options.jobs) / seconds);
  figures.add("start", "commit to handler start,", percentiles(std::move(waits)));
  figures.add("backlog", "not started when the last was enqueued", backlog);
  add_costs(figures, before, after, options.jobs);
  return figures;
}

struct Rates {
  double ours = 0;
  double bare = 0;
};

/// In turns, so that whatever else the machine does meets both.
Rates in_turns(std::int64_t jobs, const std::function<double(std::int64_t)>& ours, const std::function<double(std::int64_t)>& bare) {
  constexpr int kTurns = 4;
  const std::int64_t each = std::max<std::int64_t>(1, jobs / kTurns);
  double ours_s = 0;
  double bare_s = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    bare_s += bare(each);
    ours_s += ours(each);
  }
  const auto rows = static_cast<double>(each * kTurns);
  return {rows / ours_s, rows / bare_s};
}

void add_rates(Figures& figures, const std::string& key, const std::string& label, const Rates& rates) {
  figures.add(key + "_per_s", label + ", jobs/s", rates.ours);
  figures.add(key + "_bare_per_s", "  the same row into a bare table, rows/s", rates.bare);
  figures.add(key + "_ratio", "  ratio", rates.ours / rates.bare, 3);
}

Figures enqueue(BenchRun& run) {
  const BenchOptions& options = run.options;
  run.database.make_bare_table();
  Sender ours(run.connection, options.connections, to_job_queue());
  Sender bare(run.connection, options.connections, to_bare_table());
  // Plans and pages are there before anything is measured.
  ours.one_by_one(10 * options.connections);
  bare.one_by_one(10 * options.connections);
  const Rates single = in_turns(options.jobs, [&](std::int64_t n) { return ours.one_by_one(n); }, [&](std::int64_t n) { return bare.one_by_one(n); });
  const Rates bulk = in_turns(options.jobs, [&](std::int64_t n) { return ours.in_bulk(n, options.batch); },
                              [&](std::int64_t n) { return bare.in_bulk(n, options.batch); });
  Figures figures;
  add_rates(figures, "single", fmt::format("one by one on {} connections", options.connections), single);
  add_rates(figures, "bulk", fmt::format("{} rows a statement", options.batch), bulk);
  return figures;
}

}  // namespace

Figures measure(BenchRun run) {
  switch (run.options.mode) {
    case Mode::drain:
      return drain(run);
    case Mode::latency:
    case Mode::steady:
      return paced(run);
    case Mode::enqueue:
      return enqueue(run);
  }
  throw BugError("bench", "bench: no such mode");
}

}  // namespace rowcrew::bench
