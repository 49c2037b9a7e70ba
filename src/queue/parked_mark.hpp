// From where to read the parked jobs of a table: pure. What was promoted cannot be removed while somebody
// holds an old snapshot; read from the first on, every look would cost more than the one before.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class ParkedMark {
 public:
  /// Microseconds since the epoch on the database's clock. Nullopt: everything, because there was no pass yet, or it
  /// is time to look for jobs that a late producer has filed behind the mark.
  std::optional<std::int64_t> from(Mono now) const { return now >= next_sweep_ ? std::nullopt : mark_; }

  /// When that time comes. After a look from the mark on there must be one then, or a late producer's job waits for
  /// whatever makes the next.
  Mono next_sweep() const { return next_sweep_; }

  /// Everything is promoted that was due at `seen_us`. `sweep`: the pass had read from the first on, and its
  /// last look took so long.
  void passed(std::int64_t seen_us, bool sweep, MonoClock::duration took, Mono now) {
    mark_ = seen_us;
    if (sweep) next_sweep_ = now + std::clamp<MonoClock::duration>(took * kShare, kOften, kRarely);
  }

 private:
  static constexpr int kShare = 20;  // of the time sweeps take one in so many at most
  static constexpr std::chrono::seconds kOften{2};
  static constexpr std::chrono::seconds kRarely{30};

  std::optional<std::int64_t> mark_;
  Mono next_sweep_{};
};

}  // namespace rowcrew
