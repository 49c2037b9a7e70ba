// Named fault points: places where a test may end the process with SIGKILL or make it throw. They
// exist in test builds only (CMake option ROWCREW_FAULTS); elsewhere the macro is empty.
//
// ROWCREW_FAULT="claim.committed:3" kills the process at the third pass of that point;
// "handler.running:1:throw" throws TransientError("fault") there instead; several are separated by
// commas. A process says on start-up which points are armed.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace rowcrew {

/// What ROWCREW_FAULT asks for. Thread-safe.
class FaultPlan {
 public:
  enum class Action { none, kill, fail };

  /// Empty: nothing is armed. Throws ConfigError for anything but "<point>[:<pass>[:throw]],…".
  explicit FaultPlan(std::string_view spec);
  /// Counts one pass of the point. Its action comes once, at the armed pass.
  Action pass(std::string_view name);

 private:
  struct Point {
    unsigned long left;  ///< passes to go, this one included; 0: it is over
    Action action;
  };
  std::mutex mutex_;
  std::map<std::string, Point, std::less<>> points_;
};

/// Counts the pass; kills or throws when the armed count is reached. Thread-safe.
void pass_fault_point(std::string_view name);
/// The text of ROWCREW_FAULT, for the line that a process writes on start-up; empty when nothing is
/// armed or fault points are not compiled in. Throws ConfigError when the text is malformed.
std::string armed_fault_points();

}  // namespace rowcrew

#ifdef ROWCREW_FAULTS
#define ROWCREW_FAULT_POINT(name) ::rowcrew::pass_fault_point(name)
#else
#define ROWCREW_FAULT_POINT(name) static_cast<void>(0)
#endif
