// What a person is told about an exception, and the exit code that goes with it. Pure.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>

namespace rowcrew::cli {

struct Failure {
  int exit_code;
  std::string message;  ///< one line without the program's name
};

/// The server knows no such schema, table, function or column: ours, or one that an application has changed.
bool is_unknown_name(std::string_view sqlstate);

/// UsageError 64; ConfigError 78; a database that cannot be reached 69; an unknown name, where `schema_is_old` (missing
/// included) tells that it is ours, 78 with the command to run; anything else 1. It is asked of unknown names only.
Failure judge_failure(const std::exception& error, const std::function<bool()>& schema_is_old);

}  // namespace rowcrew::cli
