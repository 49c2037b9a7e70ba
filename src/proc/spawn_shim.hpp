// Starts the shim with its pipes: the one place that calls posix_spawn.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/clock.hpp>
#include "proc/unique_fd.hpp"

namespace rowcrew {

/// A running shim and our ends of its pipes, all close-on-exec and non-blocking. If it is dropped
/// before reap(), the shim kills the group, and the destructor waits for that (two seconds at
/// most).
struct ShimProcess {
  ShimProcess() = default;
  ShimProcess(ShimProcess&&) noexcept = default;
  ShimProcess& operator=(ShimProcess&&) noexcept = delete;
  ~ShimProcess();

  /// The shim has ended (`handle` is readable): releases its process id.
  void reap();
  /// SIGKILL to the shim itself, which takes the program with it; the last resort.
  void kill() const;

  struct Pid {
    Pid() = default;
    Pid(Pid&& other) noexcept : value(std::exchange(other.value, 0)) {}
    pid_t value = 0;  ///< 0: reaped, or moved from
  } pid;
  UniqueFd handle;   ///< pidfd: readable when the shim has ended
  UniqueFd input;    ///< the program's stdin
  UniqueFd output;   ///< the program's stdout
  UniqueFd errors;   ///< the program's stderr
  UniqueFd control;  ///< control_word.hpp; closed: kill
  UniqueFd status;   ///< shim_report.hpp
};

/// Throws PermanentError("child_bad_request") for an argv, environment or directory that cannot be
/// handed over: argv[0] not absolute, a NUL byte, '=' in a variable's name.
void check_request(const ChildRequest& request);

/// Blocks for the exec of the shim only (vfork semantics: the size of this process does not
/// matter). Throws TransientError("child_shortage", "child_spawn"), PermanentError("child_bad_request").
///
/// `lease_until`: when the group is asked to end unless a later moment is fed to the control pipe
/// first (control_word.hpp); nullopt: no lease.
ShimProcess spawn_shim(const std::string& shim, const ChildRequest& request,
                       std::optional<Mono> lease_until);

/// A moment as the shim counts it.
std::int64_t boottime_ms(Mono moment);

}  // namespace rowcrew
