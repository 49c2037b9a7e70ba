// Finished lines on their way out, on a thread of their own: whoever reads them (a pipe, a terminal,
// journald, a container's log driver) may stop reading, and nobody who logs waits for it.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace rowcrew {

class LogWriter {
 public:
  using Line = std::vector<std::string>;  ///< the text of a line, or an entry per field
  struct Options {
    std::size_t most_bytes = 4 << 20;     ///< that wait; beyond it the oldest lines are dropped
    std::chrono::milliseconds patience{2'000};  ///< at the end, with a reader that does not read
    std::chrono::milliseconds gap_every{60'000};  ///< between two lines about what was dropped
  };

  /// `sink` puts one line out and may block; it is called on the writer's thread alone and must not
  /// throw. `gap` makes the line about so many dropped ones: at once for the first, then all those of
  /// a minute together, and at the end.
  LogWriter(std::function<void(const Line&)> sink, std::function<Line(std::size_t dropped)> gap, Options options);
  /// Returns when everything has been put out, or after `patience`: the thread is then left behind
  /// with what it holds. So `sink` and `gap` must own what they use.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Never waits for the sink. Lines of one thread stay in their order. Thread-safe.
  void add(Line line);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace rowcrew
