#include "programs/bench/sender.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "sql_bench.hpp"

namespace rowcrew::bench {
namespace {

std::string payload(std::int64_t job) { return fmt::format(R"({{"i": {}}})", job); }

double seconds_since(Instant begin) { return milliseconds_between(begin, std::chrono::steady_clock::now()) / 1000; }

}  // namespace

Writes to_job_queue() { return {sql::enqueue_one, sql::enqueue_many}; }
Writes to_bare_table() { return {sql::bare_one, sql::bare_many}; }

Sender::Sender(const PoolOptions& connection, std::int64_t connections, Writes writes) : writes_(writes) {
  for (std::int64_t i = 0; i < connections; ++i) connections_.push_back(std::make_unique<BlockingConnection>(connection));
}

void Sender::send(BlockingConnection& connection, std::int64_t first, std::int64_t count) {
  if (count == 1) {
    connection.exec(writes_.one, Params{}.add(payload(first)));
    return;
  }
  std::vector<std::string> payloads;
  for (std::int64_t job = first; job < first + count; ++job) payloads.push_back(payload(job));
  connection.exec(writes_.many, Params{}.add_array(payloads));
}

double Sender::one_by_one(std::int64_t jobs) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const Instant begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (auto& connection : connections_) {
      threads.emplace_back([&, &mine = *connection] {
        try {
          for (std::int64_t job = next++; job < jobs; job = next++) send(mine, job, 1);
        } catch (...) {
          const std::lock_guard lock(mutex);
          failure = std::current_exception();
          next = jobs;
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  return seconds_since(begin);
}

double Sender::in_bulk(std::int64_t jobs, std::int64_t batch) {
  const Instant begin = std::chrono::steady_clock::now();
  for (std::int64_t job = 0; job < jobs; job += batch) send(*connections_.front(), job, std::min(batch, jobs - job));
  return seconds_since(begin);
}

std::vector<Instant> Sender::paced(std::int64_t jobs, std::int64_t rate, std::int64_t batch, const std::function<bool()>& go_on) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  std::vector<Instant> returned;
  const Instant begin = std::chrono::steady_clock::now();
  for (std::int64_t job = 0; job < jobs && go_on(); job += batch) {
    const auto due = std::chrono::duration<double>(static_cast<double>(job) / static_cast<double>(rate));
    never.wait_until(lock, begin + std::chrono::duration_cast<Instant::duration>(due), [] { return false; });
    const std::int64_t count = std::min(batch, jobs - job);
    send(*connections_.front(), job, count);
    returned.insert(returned.end(), static_cast<std::size_t>(count), std::chrono::steady_clock::now());
  }
  return returned;
}

}  // namespace rowcrew::bench
