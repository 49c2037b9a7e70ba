// When a node empties itself to run a suspect alone: pure. A suspect (a job that a node's death has
// met) must run where nobody else can be blamed or hurt. An idle node takes one at once; a busy one
// stops claiming for a bounded while so as to become idle, and tries longer each time in vain.
#pragma once

#include <chrono>
#include <optional>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class SuspectPacer {
 public:
  struct Options {
    std::chrono::milliseconds patience{1'000};   ///< how long a suspect waits for an idle node first
    std::chrono::milliseconds first_drain{5'000};
    std::chrono::milliseconds longest_drain{300'000};
  };
  enum class Action {
    claim_normally,
    hold,           ///< claim nothing: emptying
    claim_suspect,  ///< nothing runs here: take one suspect, then nothing else until it has ended
  };

  explicit SuspectPacer(Options options) : options_(options) {}

  /// What a look at the database said. `unit` in [0, 1) spreads the nodes.
  void looked(Mono now, bool suspect_waits, double unit);
  /// A suspect was claimed, or none was there any more.
  void settled();
  Action next(Mono now, std::size_t running);
  bool waiting() const { return drain_from_.has_value(); }
  /// When next() may change its mind by itself.
  std::optional<Mono> until() const;

 private:
  Options options_;
  std::optional<Mono> drain_from_;   ///< a suspect waits; empty this node from here on
  std::optional<Mono> drain_until_;
  int tries_ = 0;
};

}  // namespace rowcrew
