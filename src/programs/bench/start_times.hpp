// When the handler of each job started.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

namespace rowcrew::bench {

using Instant = std::chrono::steady_clock::time_point;

inline double milliseconds_between(Instant from, Instant to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// Written by one thread, read by any.
class StartTimes {
 public:
  explicit StartTimes(std::size_t jobs) : jobs_(jobs), times_(std::make_unique<std::atomic<Instant>[]>(jobs)) {}

  void hit(std::size_t job) {
    const Instant now = std::chrono::steady_clock::now();
    if (job >= jobs_) {
      strangers_.fetch_add(1, std::memory_order_release);
      return;
    }
    if (executions_.load(std::memory_order_relaxed) == 0) first_ = now;
    executions_.fetch_add(1, std::memory_order_release);
    if (times_[job].load(std::memory_order_relaxed) != Instant{}) return;
    times_[job].store(now, std::memory_order_relaxed);
    distinct_.fetch_add(1, std::memory_order_release);
  }

  std::size_t jobs() const { return jobs_; }
  /// Handlers run for jobs with a number that is not of the run.
  std::size_t strangers() const { return strangers_.load(std::memory_order_acquire); }
  std::size_t executions() const { return executions_.load(std::memory_order_acquire); }
  /// How many different jobs have started.
  std::size_t distinct() const { return distinct_.load(std::memory_order_acquire); }
  Instant first() const { return first_; }
  /// Instant{}: has not started.
  Instant of(std::size_t job) const { return times_[job]; }

 private:
  std::size_t jobs_;
  std::unique_ptr<std::atomic<Instant>[]> times_;
  std::atomic<std::size_t> strangers_{0};
  std::atomic<std::size_t> executions_{0};
  std::atomic<std::size_t> distinct_{0};
  std::atomic<Instant> first_{Instant{}};
};

/// The number in the payload {"i": 17}; all digits are taken for it.
inline std::size_t job_number(std::string_view payload) {
  std::size_t number = 0;
  for (const char c : payload) {
    if (c >= '0' && c <= '9') number = number * 10 + static_cast<std::size_t>(c - '0');
  }
  return number;
}

}  // namespace rowcrew::bench
