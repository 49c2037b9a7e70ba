// What becomes of a job when one execution has ended: pure. The only place that decides it.
#pragma once

#include <chrono>
#include <exception>
#include <string>

#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>

#include "queue/retry_policy.hpp"

namespace rowcrew {

/// The row change that ends one execution.
struct Ending {
  enum class Kind { completed, retry, snooze, failed, cancelled, released };
  Kind kind = Kind::completed;
  std::string status;   ///< the job's new status
  std::string code;     ///< error code; empty for completed, snooze, released
  std::string message;  ///< valid UTF-8 without NUL, cut to kMaxMessageBytes
  std::string result;   ///< JSON text or empty; completed only
  std::chrono::milliseconds delay{0};  ///< waiting statuses only; 0 to kLongestDelay
  bool counts = true;                  ///< whether the execution counts as an attempt

  static constexpr std::size_t kMaxMessageBytes = 2'000;
  static constexpr std::chrono::milliseconds kLongestDelay = std::chrono::years(10);
};

/// The word for the attempt log: "retry", "snooze", "failed", "cancelled", "released".
std::string_view outcome_word(Ending::Kind kind);

/// `unit` in [0, 1) drives the jitter. A Retry whose attempt was the last, or that would begin too
/// late, becomes failed. A rule for the error code overrules Retry and Failed alike.
Ending decide(const Job& job, const Outcome& outcome, const RetryPolicy& policy, double unit);

/// Shutdown or a lost claim's hand-back: the attempt is given back, the job is due at once.
Ending released(const Job& job);

/// What left a handler as an exception, as an outcome: permanent errors fail, a node without database or
/// processes puts the job off for a second, everything else retries. `is_bug` tells the caller to log loudly. operation_aborted must be handled before.
Outcome outcome_of(std::exception_ptr error, bool& is_bug);

}  // namespace rowcrew
