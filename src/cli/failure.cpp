#include "cli/failure.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"

namespace rowcrew::cli {
namespace {

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

Failure judge_database(const DbError& error, const std::function<bool()>& schema_is_old) {
  // Who repeats a command because it reached no database must not do twice what it asked for.
  if (error.outcome_unknown()) return {kExitFailure, one_line(error.what()) + " (the answer is lost, it may have been done)"};
  if (error.connection_lost()) return {kExitUnavailable, one_line(error.what())};
  if (is_unknown_name(error.sqlstate()) && schema_is_old()) {
    return {kExitConfig,
            "schema rowcrew: missing in this database, or older than this program: run: rowcrew "
            "migrate"};
  }
  return {kExitFailure, one_line(error.what())};
}

}  // namespace

bool is_unknown_name(std::string_view sqlstate) {
  constexpr std::array<std::string_view, 4> kStates = {"3F000", "42P01", "42883", "42703"};
  return std::find(kStates.begin(), kStates.end(), sqlstate) != kStates.end();
}

Failure judge_failure(const std::exception& error, const std::function<bool()>& schema_is_old) {
  if (const auto* db = dynamic_cast<const DbError*>(&error)) return judge_database(*db, schema_is_old);
  int code = kExitFailure;
  if (dynamic_cast<const UsageError*>(&error) != nullptr) code = kExitUsage;
  if (dynamic_cast<const ConfigError*>(&error) != nullptr) code = kExitConfig;
  return {code, one_line(error.what())};
}

}  // namespace rowcrew::cli
