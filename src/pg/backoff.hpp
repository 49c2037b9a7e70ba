// When to try a lost server again, and when to say that it is away. Pure: told the time.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "pg/interrupt.hpp"

namespace rowcrew {

/// 100 ms doubling to 3 s, each between half and the whole of it.
class Backoff {
 public:
  /// `unit` in [0, 1).
  std::chrono::milliseconds next(double unit);
  void reset() { failures_ = 0; }

 private:
  unsigned failures_ = 0;
};

/// What all threads of a pool know about a server that is away: one of them tries at a time.
class Outage {
 public:
  /// Whether the caller may connect now. While the server is away only one may, at the backoff's
  /// times; the caller then owes a call of failed() or succeeded().
  bool may_try(SteadyTime now);
  /// When may_try() is worth asking again, unless somebody succeeds earlier.
  SteadyTime next_try() const { return next_try_; }

  /// True when a line is due: at the start of the outage and once a minute.
  bool failed(SteadyTime now, double unit, std::string reason);
  /// How long the server was away, if it was.
  std::optional<std::chrono::milliseconds> succeeded(SteadyTime now);

  bool away() const { return since_.has_value(); }
  const std::string& reason() const { return reason_; }
  unsigned attempts() const { return attempts_; }

 private:
  Backoff backoff_;
  std::optional<SteadyTime> since_;
  SteadyTime next_try_{};
  SteadyTime next_line_{};
  bool trying_ = false;
  unsigned attempts_ = 0;
  std::string reason_;
};

}  // namespace rowcrew
