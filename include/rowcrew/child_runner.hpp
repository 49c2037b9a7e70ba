// Runs one child program in its own process group under a shim that kills the group when this
// process dies, closes its end of a pipe, or outlives its lease, be it stopped or stuck.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rowcrew {

struct ChildRequest {
  explicit ChildRequest(std::vector<std::string> args) : argv(std::move(args)) {}

  std::vector<std::string> argv;  ///< argv[0] is an absolute path; no shell, no PATH look-up
  /// The whole environment of the child; nothing is inherited.
  std::vector<std::pair<std::string, std::string>> env;
  std::string directory = "/";
  std::string input;  ///< written to its stdin, which is then closed

  std::chrono::milliseconds timeout{std::chrono::seconds{60}};  ///< then SIGTERM to the group
  std::chrono::milliseconds grace{std::chrono::seconds{2}};     ///< then SIGKILL to the group
  std::size_t max_output_bytes = std::size_t{64} << 10;  ///< of stdout and of stderr each; the rest
                                                          ///< is read and thrown away
  std::uint64_t max_memory_bytes = 0;                     ///< RLIMIT_AS; 0: not limited
  std::chrono::seconds max_cpu{0};                        ///< RLIMIT_CPU; 0: not limited
};

struct ChildResult {
  ChildResult() = default;
  int exit_code = 0;          ///< meaningful when `signal` is 0
  int signal = 0;             ///< the signal that ended the child, or 0
  bool timed_out = false;     ///< `timeout` ended it
  bool output_truncated = false;
  std::string output;  ///< stdout, the first max_output_bytes
  std::string errors;  ///< stderr, the last max_output_bytes: why a program failed stands at the end
};

class ChildRunner {
 public:
  virtual ~ChildRunner() = default;

  /// Starts the child and waits for its end: when this returns or throws, no process of its group
  /// is left. Event thread only.
  ///
  /// Throws PermanentError ("child_not_found": no such program, "child_not_executable",
  /// "child_bad_request": argv, environment or directory cannot be used); TransientError
  /// ("child_shortage": no process, memory or descriptor could be had, which a handler lets through and
  /// costs its job no attempt; "child_spawn": it could not be started now, "child_lost": the shim was killed,
  /// "child_lease_over": this process did not renew its lease, and the shim ended the group);
  /// boost::system::system_error (operation_aborted) when cancelled: the group got SIGTERM, after
  /// `grace` SIGKILL, and has been reaped.
  virtual boost::asio::awaitable<ChildResult> run(ChildRequest request) = 0;
};

}  // namespace rowcrew
