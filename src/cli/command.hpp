// One command of the terminal program: what it is called and what it does.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::cli {

/// What a command is started with. Streams outlive the call.
struct Invocation {
  std::vector<std::string> args;  ///< behind the command's name; --database and --config included
  std::istream& in;
  std::ostream& out;         ///< results: what a script reads
  std::ostream& err;         ///< everything that is meant for a person beside them
  bool interactive = false;  ///< somebody can be asked: stdin is a terminal
};

struct Command {
  std::string_view name;
  std::string_view summary;  ///< one line for `rowcrew help`
  /// Returns an ExitCode. Throws UsageError, ConfigError, DbError and others: run_cli() turns them
  /// into one line and an exit code.
  std::function<int(Invocation&)> run;
};

}  // namespace rowcrew::cli
