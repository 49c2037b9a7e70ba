// How long something took, counted in buckets. Pure; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace rowcrew {

class Histogram {
 public:
  /// `bounds`: upper ones in seconds, ascending; must stay valid.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}

  /// What is below zero, by a clock that was set, counts as zero.
  void observe(double seconds) {
    const double value = seconds > 0 ? seconds : 0;
    std::size_t at = 0;
    while (at < bounds_.size() && value > bounds_[at]) ++at;
    ++counts_[at];
    sum_ += value;
  }
  void observe(std::chrono::nanoseconds took) { observe(std::chrono::duration<double>(took).count()); }

  std::span<const double> bounds() const { return bounds_; }
  /// One per bound, and the last of what is above all of them. Not cumulative.
  const std::vector<std::uint64_t>& counts() const { return counts_; }
  std::uint64_t count() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }
  double sum() const { return sum_; }

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

}  // namespace rowcrew
