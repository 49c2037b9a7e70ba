// What a handler decided about one execution. The runtime, never the handler, turns it into a row
// update, so a handler cannot leave a job half-finished.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rowcrew {

// Constructors are declared on purpose: g++ 12 destroys temporaries of aggregate type twice when
// they appear inside a co_await expression.

/// Terminal, success. `result` is JSON text for the job's `result` column, or empty for none.
struct Completed {
  Completed() = default;
  explicit Completed(std::string result_json) : result(std::move(result_json)) {}
  std::string result;
};

/// The execution failed and waiting may help. Uses up one attempt; when none is left the job fails
/// with this code. `after` unset: the retry policy decides (exponential with full jitter).
struct Retry {
  Retry(std::string error_code, std::string text,
        std::optional<std::chrono::milliseconds> delay = std::nullopt)
      : code(std::move(error_code)), message(std::move(text)), after(delay) {}
  std::string code;
  std::string message;
  std::optional<std::chrono::milliseconds> after;
};

/// Not now: look again after `after`. Gives the attempt back.
struct Snooze {
  explicit Snooze(std::chrono::milliseconds delay, std::string why = {})
      : after(delay), reason(std::move(why)) {}
  std::chrono::milliseconds after;
  std::string reason;
};

/// Terminal, failure: no retry whatever attempts are left.
struct Failed {
  Failed(std::string error_code, std::string text)
      : code(std::move(error_code)), message(std::move(text)) {}
  std::string code;
  std::string message;
};

/// Terminal: somebody asked for it, or the work is no longer wanted.
struct Cancelled {
  explicit Cancelled(std::string why) : reason(std::move(why)) {}
  std::string reason;
};

/// There is nothing to write: a transaction of the handler has ended the job, or found that its claim
/// was lost. Comes from JobTransactions (job_transactions.hpp) alone.
class Settled {
 public:
  /// False: the row is under another claim by now, and nothing of the transaction has happened.
  bool ours() const { return ours_; }

 private:
  friend class JobTransactions;
  explicit Settled(bool ours) : ours_(ours) {}
  bool ours_;
};

using Outcome = std::variant<Completed, Retry, Snooze, Failed, Cancelled, Settled>;

}  // namespace rowcrew
