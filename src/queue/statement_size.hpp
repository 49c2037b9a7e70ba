// About how many jobs one statement may be so that it ends within statement_timeout: pure. A trigger of the
// application that takes its time, or rows that are large, may make a batch too long that usually takes
// milliseconds: sent again as it was it would be cancelled again, for ever.
#pragma once

#include <algorithm>
#include <cstddef>

#include <rowcrew/clock.hpp>
#include <rowcrew/db_error.hpp>

namespace rowcrew {

/// Whether the statement was cancelled, by its timeout or by somebody.
inline bool tells_of_overdue(const DbError& error) { return error.sqlstate() == "57014"; }

class StatementSize {
 public:
  /// At most so many; at least one.
  std::size_t most() const { return most_; }

  /// One about so many was cancelled after this long.
  void overdue(std::size_t jobs, MonoClock::duration took) {
    most_ = std::max<std::size_t>(1, std::min(most_, jobs) / 2);
    too_long_ = took;
  }

  /// One was answered. Twice as many are tried as soon as twice as many are expected to take half of the time
  /// that was too long.
  void answered(MonoClock::duration took) {
    if (took * 4 <= too_long_) most_ = std::min(kUnbounded, most_ * 2);
  }

 private:
  static constexpr std::size_t kUnbounded = 1U << 20U;
  std::size_t most_ = kUnbounded;
  MonoClock::duration too_long_{};
};

}  // namespace rowcrew
