// Where claims start reading, per queue and priority: pure. Dead entries of finished jobs pile up
// at the head of the ready index while a snapshot is pinned; a claim that starts behind them costs
// the same whatever is dead in front.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class Watermarks {
 public:
  static constexpr int kPriorities = 10;

  struct Options {
    /// Hints are filed with the time of filing and become visible at commit; this much later they
    /// are still met by bounded claims. Stragglers beyond it are met by the next sweep.
    std::chrono::milliseconds margin{2'000};
    /// While every claim is filled those need not be met by each: what was filed within the margin may be
    /// a hundred thousand dead entries.
    std::chrono::milliseconds widen_every{250};
    std::chrono::milliseconds sweep_every{2'000};
    /// At most, half as long again with the jitter, while sweeps are slow (they read what is dead under a
    /// snapshot) and find nothing.
    std::chrono::milliseconds sweep_rarely{20'000};
    std::chrono::milliseconds slow{10};  ///< what a sweep may take in any case
  };
  explicit Watermarks(Options options) : options_(options) {}

  /// Whether the next claim of this queue must ignore the marks. True at first, and from reset() on until a
  /// sweep was made that began after it.
  bool sweep_due(std::string_view queue, Mono now) const;
  /// A sweep of this queue, sent when resets() was `since`, took so long; `unit` in [0, 1) spreads the fleet's.
  /// Note what it found before: after one that was slow, measured by what bounded claims take, and met no
  /// straggler the next waits twice as long.
  void swept(std::string_view queue, std::uint64_t since, Mono now, MonoClock::duration took, double unit);
  /// Whether the last sweeps were slow: then none is made that is not due.
  bool sweeps_are_slow(std::string_view queue) const;
  /// A bounded claim took so long.
  void claimed(MonoClock::duration took) { usual_ += (took - usual_) / 16; }
  /// Everything may be behind the marks: after a reconnect, a wake-up from idleness.
  void reset();
  std::uint64_t resets() const { return resets_; }

  /// Whether the next claim must allow for the margin although claims are filled.
  bool wide_due(Mono now) const { return now >= next_wide_; }
  void widened(Mono now) { next_wide_ = now + std::chrono::duration_cast<MonoClock::duration>(options_.widen_every); }

  /// A claimed job's hint: microseconds since the epoch on the database's clock. Marks move to the
  /// smallest of a batch; note all of a batch, then settle().
  void note(std::string_view queue, int priority, std::int64_t run_at_us);
  void settle();

  /// Ten marks for this queue as PostgreSQL timestamps, less the margin when `wide`; "-infinity" where
  /// nothing is known.
  std::vector<std::string> marks(std::string_view queue, bool wide) const;

 private:
  using Marks = std::array<std::int64_t, kPriorities>;
  static constexpr std::int64_t kNone = INT64_MIN;

  struct Sweeps {
    Mono next{};
    std::chrono::milliseconds between{};
  };

  Options options_;
  std::map<std::string, Sweeps, std::less<>> sweeps_;
  std::uint64_t resets_ = 0;
  MonoClock::duration usual_{};
  bool straggler_ = false;  ///< among what was noted
  Mono next_wide_{};
  std::map<std::string, Marks, std::less<>> marks_;
  std::map<std::pair<std::string, int>, std::int64_t> batch_;
};

}  // namespace rowcrew
