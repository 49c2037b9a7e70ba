// When the leader of a fleet sleeps on the gate, and when it wakes for good: pure. Asleep, every
// enqueue notifies, which is quick for the first and slow for a thousand a second; awake, none does,
// and the leader looks by itself.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class SleepPolicy {
 public:
  struct Options {
    std::size_t quiet_looks = 3;                 ///< in vain, before it sleeps
    std::chrono::milliseconds first_look{2};     ///< doubling with each in vain
    std::chrono::milliseconds longest_look{250}; ///< while others' work is all there is
    std::size_t wakes = 100;                     ///< so many within `within` end the sleep
    std::chrono::milliseconds within{500};
  };
  SleepPolicy() : SleepPolicy(Options{}) {}
  explicit SleepPolicy(Options options) : options_(options) {}

  /// How long to wait before the next look, awake.
  std::chrono::milliseconds nap() const {
    return std::min(options_.longest_look, options_.first_look * (1 << std::min<std::size_t>(in_vain_, 8)));
  }
  /// A look, awake: whether it found anything.
  void looked(bool found) { in_vain_ = found ? 0 : in_vain_ + 1; }
  bool tired() const { return in_vain_ >= options_.quiet_looks; }
  void fell_asleep() { wakes_.clear(); }
  /// A notification while asleep. True: they come so fast that looking is cheaper for all.
  bool notified(Mono now) {
    wakes_.push_back(now);
    if (wakes_.size() > options_.wakes) wakes_.pop_front();
    const bool often = wakes_.size() == options_.wakes && now - wakes_.front() < options_.within;
    if (often) in_vain_ = 0;
    return often;
  }

 private:
  Options options_;
  std::size_t in_vain_ = 0;
  std::deque<Mono> wakes_;
};

}  // namespace rowcrew
