// Time as the daemon sees it. Decisions never read a clock: they are told the time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <ratio>

namespace rowcrew {

/// The local monotonic clock. It counts time in suspend too (CLOCK_BOOTTIME), because a lease does
/// not stop while the machine sleeps. Points of two machines must never be compared.
struct MonoClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<MonoClock>;
  static constexpr bool is_steady = true;
};
using Mono = MonoClock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;

  virtual Mono mono() const = 0;
  /// For log lines only; never for a decision about a job (the database's clock decides those).
  virtual std::chrono::system_clock::time_point wall() const = 0;
  /// Resumes on the caller's executor at or after `when`. Throws boost::system::system_error
  /// (operation_aborted) when cancelled. Event thread only.
  virtual boost::asio::awaitable<void> sleep_until(Mono when) = 0;
};

}  // namespace rowcrew
