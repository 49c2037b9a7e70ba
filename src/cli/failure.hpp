// What a person is told about an exception, and the exit code that goes with it. Pure.
#pragma once

#include <exception>
#include <string>

namespace rowcrew::cli {

struct Failure {
  int exit_code;
  std::string message;  ///< one line without the program's name
};

/// UsageError 64; ConfigError 78; a database that cannot be reached 69; a schema that is missing or
/// older than this program 78 with the command to run; anything else 1.
Failure judge_failure(const std::exception& error);

}  // namespace rowcrew::cli
