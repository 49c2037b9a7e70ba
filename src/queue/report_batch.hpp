// How many ends that a port hears of go into one transaction: pure. Each by itself costs a commit; together
// they hold what their ports have locked until the last of them, and one that is refused undoes all.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <set>
#include <string_view>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class ReportBatch {
 public:
  std::size_t size() const { return size_; }

  /// How many of the first of `items` go together: of one sort, and no job twice, since its two executions
  /// could not be told apart. 0: there are none.
  template <class Items, class SortOf, class JobOf>
  std::size_t together(const Items& items, SortOf sort_of, JobOf job_of) const {
    std::set<std::string_view> jobs;
    std::size_t count = 0;
    for (const auto& item : items) {
      if (count == size_ || sort_of(item) != sort_of(*items.begin()) || !jobs.insert(job_of(item)).second) break;
      ++count;
    }
    return count;
  }

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
