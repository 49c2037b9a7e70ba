// The node of a run: in this process, on a thread of its own, with one handler that does nothing but
// note its start. It serves the queue of `rowcrew bench` only, but is a whole node otherwise: it
// beats, promotes and rescues.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

#include "cli/arguments.hpp"
#include "programs/bench/start_times.hpp"

namespace rowcrew::bench {

/// The process's one node: it ends on SIGTERM, which stop() raises, and on Ctrl-C.
class BenchNode {
 public:
  /// `arguments` and `environment` name the database. `starts` outlives the node.
  BenchNode(const cli::Arguments& arguments, std::map<std::string, std::string> environment, std::int64_t slots, StartTimes& starts);
  ~BenchNode();
  BenchNode(const BenchNode&) = delete;
  BenchNode& operator=(const BenchNode&) = delete;

  const std::string& name() const { return name_; }
  /// It came to its end by itself: a signal, a database that is none to work on. Why is on stderr.
  bool ended() const { return ended_; }
  /// Lets it finish what runs; returns its exit code.
  int stop();

 private:
  std::string name_;
  std::atomic<bool> ended_{false};
  int status_ = 0;
  std::thread thread_;
};

}  // namespace rowcrew::bench
