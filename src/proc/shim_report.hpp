// What the shim wrote to its status pipe (see shim_main.cpp): pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rowcrew {

struct ShimReport {
  std::optional<int> program;  ///< process id, and process group, of the program
  std::optional<int> exit_code;
  std::optional<int> signal;
  bool timed_out = false;
  bool outlived_lease = false;  ///< the daemon's lease was over before the program was
  std::string failed_step;  ///< "chdir", "limit", "exec", "spawn", or empty: the program ran
  int failure = 0;          ///< errno of that step

  /// The program ran and how it ended is known.
  bool complete() const { return failed_step.empty() && (exit_code || signal); }
};

/// Lines that make no sense are skipped: a shim that was killed may leave half of one.
ShimReport parse_shim_report(std::string_view text);

/// The node has no process, memory or descriptor left: no fault of what should have been started.
bool is_shortage(int error);

/// Throws what ChildRunner::run promises when the program never ran; else does nothing.
void throw_if_not_run(const ShimReport& report, std::string_view program,
                      std::string_view directory);

}  // namespace rowcrew
