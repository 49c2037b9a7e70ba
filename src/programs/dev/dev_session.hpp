// One run of `rowcrew dev`: starts the programs, shows what becomes of the photos, stops everything.
#pragma once

#include <iosfwd>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "programs/dev/dev_child.hpp"
#include "programs/dev/dev_database.hpp"
#include "programs/dev/dev_options.hpp"
#include "programs/dev/dev_progress.hpp"
#include "programs/dev/stop_signals.hpp"
#include "programs/dev/verified_ids.hpp"

namespace rowcrew::dev {

class DevSession {
 public:
  /// All outlive it. `terminal`: whether `out` can be redrawn.
  DevSession(const DevOptions& options, const PoolOptions& connection, StopSignals& signals,
             std::ostream& out, std::ostream& err, bool terminal);

  /// Blocks until a signal, or, with --once, until the samples have ended. Returns an exit status:
  /// 1 when a program died or did not stop well, or when something is not as expected. Throws
  /// DbError, ConfigError and others after it has stopped what it had started.
  int run();

 private:
  void prepare();
  void start_programs();
  Child& start(const std::string& name, std::vector<std::string> argv,
               std::vector<std::pair<std::string, std::string>> environment);
  /// False: a signal came first. Throws TransientError when the program ends or says nothing.
  bool wait_for(Child& child, std::string_view words);
  void check_programs();
  void watch();
  /// One look at everything; true: with --once, all has ended.
  bool step();
  bool stop_programs();
  bool report();
  void say(const std::string& line);

  const DevOptions& options_;
  const std::string url_;
  DevDatabase database_;
  StopSignals& signals_;
  std::ostream& out_;
  std::ostream& err_;
  ProgressView view_;
  std::vector<ExpectedPhoto> expected_;
  Joined joined_;
  std::string after_;
  std::set<std::string> shown_;  ///< photos that have had their line
  VerifiedIds verified_;
  bool late_ = false;  ///< --once, and its time was over
  std::vector<std::unique_ptr<Child>> programs_;  ///< in the order of their start
  Child* receiver_ = nullptr;
};

}  // namespace rowcrew::dev
