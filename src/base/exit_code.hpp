// Exit codes of the programs (sysexits.h where one fits). The units do not restart 64 and 78.
#pragma once

namespace rowcrew {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,       ///< run-time failure: a restart may help
  kExitUsage = 64,        ///< wrong command line
  kExitUnavailable = 69,  ///< a dependency was never reachable (terminal commands only)
  kExitConfig = 78,       ///< wrong configuration, schema or installation
};

}  // namespace rowcrew
