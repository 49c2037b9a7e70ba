// How long a failed execution waits before the next: pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace rowcrew {

/// Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter",
/// 2015): uniform in [0, min(cap, base * 2^(attempt-1))]. Jitter spreads the herd that a broken
/// dependency leaves behind.
struct RetryPolicy {
  std::chrono::milliseconds base{5'000};
  std::chrono::milliseconds cap{3'600'000};

  /// `attempt` counts from 1: the execution that has just failed. `unit` is uniform in [0, 1).
  std::chrono::milliseconds delay(int attempt, double unit) const {
    const int doublings = std::clamp(attempt, 1, 41) - 1;
    const double ceiling = std::min(static_cast<double>(cap.count()),
                                    static_cast<double>(base.count()) * static_cast<double>(1LL << doublings));
    return std::chrono::milliseconds(static_cast<std::int64_t>(ceiling * unit));
  }
};

}  // namespace rowcrew
