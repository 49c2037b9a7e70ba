// When the server's answer to the statement at work is overdue. statement_timeout is the server's
// own promise; one that hangs, or a machine that froze, keeps no promises.
#pragma once

#include <atomic>
#include <chrono>

#include "pg/interrupt.hpp"

namespace rowcrew {

/// One writer (the thread of the connection), any reader.
class AnswerWatch {
 public:
  /// From construction to destruction an answer is awaited. `watch` may be null; a `within` of
  /// zero means without limit.
  class Guard {
   public:
    Guard(AnswerWatch* watch, std::chrono::milliseconds within) : watch_(watch) {
      if (watch_ == nullptr || within == within.zero()) return;
      watch_->due_ = (std::chrono::steady_clock::now() + within).time_since_epoch().count();
    }
    ~Guard() {
      if (watch_ != nullptr) watch_->due_ = kNever;
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    AnswerWatch* watch_;
  };

  bool overdue(SteadyTime now) const { return now.time_since_epoch().count() > due_; }

 private:
  static constexpr SteadyTime::rep kNever = SteadyTime::max().time_since_epoch().count();
  std::atomic<SteadyTime::rep> due_{kNever};
};

}  // namespace rowcrew
