// Errors as they travel inside the daemon. A class says what the nearest owner of a retry decision
// should do; a code is a short stable word for operators and tests; the message is one sentence:
// "subject: what was found, what was expected". Never a secret, never a full payload.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace rowcrew {

enum class ErrorClass {
  transient,  ///< the same call may succeed later: database away, timeout, connection refused
  permanent,  ///< repeating is pointless: malformed input, forbidden address, constraint violation
  bug,        ///< the program or its schema is wrong: undefined column, broken invariant
};

/// Base of everything that rowcrew throws on purpose.
class Error : public std::runtime_error {
 public:
  Error(ErrorClass error_class, std::string code, const std::string& message)
      : std::runtime_error(message), class_(error_class), code_(std::move(code)) {}

  ErrorClass error_class() const noexcept { return class_; }
  /// A short word in snake_case ("bad_payload", "egress_refused"); stable over releases.
  const std::string& code() const noexcept { return code_; }

 private:
  ErrorClass class_;
  std::string code_;
};

struct TransientError : Error {
  TransientError(std::string code, const std::string& message)
      : Error(ErrorClass::transient, std::move(code), message) {}
};

struct PermanentError : Error {
  PermanentError(std::string code, const std::string& message)
      : Error(ErrorClass::permanent, std::move(code), message) {}
};

struct BugError : Error {
  BugError(std::string code, const std::string& message)
      : Error(ErrorClass::bug, std::move(code), message) {}
};

/// Wrong configuration: names key, value and range. Programs print it as one line and exit 78.
struct ConfigError : PermanentError {
  explicit ConfigError(const std::string& message) : PermanentError("config", message) {}
};

/// Wrong command line. Programs print it as one line and exit 64.
struct UsageError : PermanentError {
  explicit UsageError(const std::string& message) : PermanentError("usage", message) {}
};

}  // namespace rowcrew
