// How many jobs of a queue to claim ahead of its free slots: pure. Short jobs would otherwise leave
// their slots empty for a round trip each; long ones gain nothing and would only wait here while
// another node could run them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class Prefetch {
 public:
  using Span = std::chrono::duration<double>;
  struct Options {
    std::size_t most = 500;  ///< 0: never ahead
  };
  explicit Prefetch(Options options) : options_(options) {}

  /// A job ran this long.
  void ran(MonoClock::duration span) { follow(run_, std::chrono::duration_cast<Span>(span), ran_); }
  /// A claim of this queue's was answered after this long.
  void answered(MonoClock::duration span) { follow(round_trip_, std::chrono::duration_cast<Span>(span), answered_); }

  /// What `slots` slots are expected to end during two round trips, the one under way included, or within
  /// kMostWait; so a job is not expected to wait here for longer than those take. Or half of the slots' worth, where
  /// even so none waits for longer than kWait: claims of many at once are cheaper than of each by itself.
  std::size_t depth(std::size_t slots) const {
    if (!ran_ || !answered_) return 0;
    const double all = static_cast<double>(slots);
    const double run = std::max(run_.count(), 1e-6);
    const double ends = all * std::min(2 * round_trip_.count(), kMostWait.count()) / run;
    const double ahead = std::max(ends, all * std::min(0.5, kWait.count() / run));
    // One or two that would be saved a round trip are not worth holding back from other nodes.
    if (ahead < all / 8) return 0;
    return std::min(options_.most, static_cast<std::size_t>(ahead));
  }

  /// How many to ask for now, with so many slots free of `slots`, and so many here or on their way. Half of
  /// the room at most, but for the free slots: a second claim may be under way with the other half. Not
  /// before half of it is missing: topping up one by one would cost a round trip each.
  std::size_t ask(std::size_t free, std::size_t slots, std::size_t coming) const {
    const std::size_t room = free + depth(slots);
    if (coming >= room) return 0;
    const std::size_t missing = room - coming;
    if (coming >= free && missing < room / 2) return 0;
    return std::min(missing, std::max(free, (room + 1) / 2));
  }

 private:
  static constexpr Span kWait{0.025};
  static constexpr Span kMostWait{0.75};  ///< what has waited here for a second goes back

  static void follow(Span& mean, Span sample, bool& known) {
    // Long runs count at once, short ones slowly: what is held here must not be stuck behind them.
    const double weight = sample > mean ? 0.5 : 0.05;
    mean = known ? mean + (sample - mean) * weight : sample;
    known = true;
  }

  Options options_;
  Span run_{};
  Span round_trip_{};
  bool ran_ = false;
  bool answered_ = false;
};

}  // namespace rowcrew
