// What the database's clock says, between the moments that it was asked. Pure; for figures only: decisions about jobs are
// made where that clock is.
#pragma once

#include <cstdint>
#include <optional>

#include <rowcrew/clock.hpp>

namespace rowcrew {

/// Of several answers the one that leaves the least doubt counts: an answer tells a moment somewhere within its round
/// trip, and the longer ago it came the further two clocks have drifted.
class DatabaseClock {
 public:
  void told(Mono sent, Mono received, std::int64_t us) {
    const MonoClock::duration half = (received - sent) / 2;
    if (known_ && half > doubt(received)) return;
    known_ = Told{sent + half, us, half};
  }
  /// Another server has another clock.
  void forget() { known_.reset(); }

  /// Microseconds since 1970.
  std::optional<std::int64_t> at(Mono now) const {
    if (!known_) return std::nullopt;
    return known_->us + (now - known_->when) / std::chrono::microseconds(1);
  }

 private:
  static constexpr std::int64_t kDrift = 10'000;  ///< one part in so many

  struct Told {
    Mono when;
    std::int64_t us;
    MonoClock::duration half;
  };
  MonoClock::duration doubt(Mono now) const { return known_->half + (now - known_->when) / kDrift; }

  std::optional<Told> known_;
};

}  // namespace rowcrew
