// When each job's handler started, and the lines in which a worker tells of it.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "protocol.hpp"

namespace rowcrew::bench {

/// Written by one thread at a time, read by the reporter.
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
inline std::size_t index_of(std::string_view payload) {
  std::size_t i = 0;
  for (const char c : payload) {
    if (c >= '0' && c <= '9') i = i * 10 + static_cast<std::size_t>(c - '0');
  }
  return i;
}

inline void say_ready() {
  fmt::print("READY\n");
  std::fflush(stdout);
}

}  // namespace rowcrew::bench
