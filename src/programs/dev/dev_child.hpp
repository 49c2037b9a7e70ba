// A program that `rowcrew dev` starts and stops: in a session of its own, so that Ctrl-C in the
// terminal reaches dev alone, with its output in a file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proc/unique_fd.hpp"

namespace rowcrew::dev {

struct ChildStart {
  std::string name;                ///< for messages
  std::vector<std::string> argv;   ///< argv[0]: an absolute path
  std::vector<std::pair<std::string, std::string>> environment;  ///< beside ours without ROWCREW_*
  std::filesystem::path log;       ///< of stdout and stderr, emptied first
};

/// One thread only: the kernel ends the program (SIGTERM) when the thread that made it dies.
class Child {
 public:
  /// Throws TransientError("child_start") with the kernel's reason.
  explicit Child(ChildStart start);
  /// Kills the whole session when it still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& name() const { return start_.name; }
  const std::filesystem::path& log() const { return start_.log; }

  /// Blocks for at most `within`. The way it ended ("status 3", "signal 9"; empty: status 0), or
  /// nullopt: it still runs.
  std::optional<std::string> wait(std::chrono::milliseconds within);
  /// SIGTERM, SIGKILL after `within`. Returns as wait() does.
  std::string stop(std::chrono::milliseconds within);

  /// The log so far, from byte `from` on.
  std::string output(std::size_t from = 0) const;
  /// The last lines of it, each indented and with its end.
  std::string last_lines(std::size_t count) const;

 private:
  ChildStart start_;
  pid_t pid_ = -1;
  UniqueFd handle_;
  std::optional<std::string> end_;
};

/// Runs a program to its end, in a session of its own, and returns its stdout, at most 64 KiB; stderr
/// is ours. Throws TransientError("child_start", "child_failed": it ended otherwise than with 0).
std::string run_program(const std::vector<std::string>& argv);

/// A program that runs when dev is gone, however that came: as soon as the last writer of a pipe,
/// this object, is no more.
class LastAct {
 public:
  explicit LastAct(std::vector<std::string> argv);
  /// Lets it run and waits for its end.
  ~LastAct();
  LastAct(const LastAct&) = delete;
  LastAct& operator=(const LastAct&) = delete;

 private:
  UniqueFd pipe_;
  pid_t pid_ = -1;
};

}  // namespace rowcrew::dev
