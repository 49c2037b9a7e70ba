// The signals that end `rowcrew dev`, taken one at a time instead of interrupting anything.
#pragma once

#include <chrono>
#include <csignal>

#include "proc/unique_fd.hpp"

namespace rowcrew::dev {

/// Make one before any other thread starts. SIGINT, SIGTERM and SIGHUP are held back while it
/// lives; SIGPIPE is ignored from then on: a reader that goes away must not end us unstopped.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Waits for at most `within`; true once one of them has come.
  bool wait(std::chrono::milliseconds within);
  bool stopped() const { return stopped_; }

 private:
  sigset_t before_;
  UniqueFd handle_;
  bool stopped_ = false;
};

}  // namespace rowcrew::dev
