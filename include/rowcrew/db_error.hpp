// A failure that came from the database, with what the caller needs to decide.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <rowcrew/error.hpp>

namespace rowcrew {

/// The server, the database or the role has as many connections as it may have.
inline constexpr std::string_view kTooManyConnections = "53300";

/// The class follows the SQLSTATE: 08, 40, 53, 55P03, 57 and lost connections are transient; 22 and
/// 23 permanent; everything else (42, 0A, …) a bug. The code is "db_" + SQLSTATE, or "db_lost".
class DbError : public Error {
 public:
  DbError(ErrorClass error_class, std::string sqlstate, const std::string& message,
          bool connection_lost, bool outcome_unknown)
      : Error(error_class, sqlstate.empty() ? "db_lost" : "db_" + sqlstate, message),
        sqlstate_(std::move(sqlstate)),
        connection_lost_(connection_lost),
        outcome_unknown_(outcome_unknown) {}

  /// Five characters; empty: no answer came; 08001, or 53300 (kTooManyConnections) with a lost connection: none
  /// was to be had, nothing was asked.
  const std::string& sqlstate() const noexcept { return sqlstate_; }
  bool connection_lost() const noexcept { return connection_lost_; }  ///< also of a server turned read-only
  /// COMMIT (or an autocommit statement) was sent and no answer came: it may have happened.
  bool outcome_unknown() const noexcept { return outcome_unknown_; }

 private:
  std::string sqlstate_;
  bool connection_lost_;
  bool outcome_unknown_;
};

}  // namespace rowcrew
