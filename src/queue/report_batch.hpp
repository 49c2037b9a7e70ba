// How many ends that a port hears of go into one transaction: pure. Each by itself costs a commit; together
// they hold what their ports have locked until the last of them, and one that is refused undoes all.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class ReportBatch {
 public:
  std::size_t size() const { return size_; }

  /// `count` of them were written within `span`: twice as many next time while that is short, half as many when it is long.
  void written(std::size_t count, MonoClock::duration span) {
    if (span > kLong) {
      size_ = std::max<std::size_t>(1, count / 2);
    } else if (count >= size_ && span < kShort) {
      size_ = std::min(kMost, size_ * 2);
    }
  }
  /// One of several was refused, nobody knows which: each by itself.
  void refused() { size_ = 1; }

 private:
  static constexpr std::size_t kMost = 100;
  static constexpr std::chrono::milliseconds kShort{20};
  static constexpr std::chrono::milliseconds kLong{80};

  std::size_t size_ = 8;
};

}  // namespace rowcrew
