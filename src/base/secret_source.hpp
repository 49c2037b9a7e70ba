// Where secrets are read from. Nothing here ever puts a secret into an error.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/error.hpp>

namespace rowcrew {

/// A command was started and gave no secret: whatever it asks may not be up yet.
struct NoSecretYet : ConfigError {
  using ConfigError::ConfigError;
};

/// Stdout of `argv` (absolute program, no shell), which gets our environment without ROWCREW_* and
/// an empty stdin; its stderr is ours, and no other descriptor. Blocking, for start-up; when this
/// returns or throws, the command's process group is dead. `subject` starts the sentence of every
/// ConfigError: not absolute, cannot be started, more than 64 KiB; of a NoSecretYet: exit code other
/// than 0, a signal, too slow, given up on: `give_up` is a descriptor (or -1) that became readable.
std::string run_secret_command(const std::vector<std::string>& argv,
                               std::chrono::milliseconds within, std::string_view subject, int give_up = -1);

/// Removes the variable from the environment and overwrites its value where it stood, which is
/// what /proc/<pid>/environ shows.
void wipe_environment(const std::string& name);

/// Without the line ends at its end.
std::string trim_line_ends(std::string text);

}  // namespace rowcrew
