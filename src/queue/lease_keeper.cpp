#include "queue/lease_keeper.hpp"

#include <algorithm>

namespace rowcrew {

LeaseTimes LeaseTimes::of(Span lease) {
  LeaseTimes t;
  t.lease = lease;
  t.beat_every = lease / 6;
  t.grace = lease / 6;
  t.stall = lease / 15;
  const Span epsilon = lease / 30;
  t.stop_after = lease - lease / 500 - epsilon - t.grace - t.stall;
  return t;
}

LeaseKeeper::Next LeaseKeeper::next(Mono now, double stretched) const {
  if (!holds(now)) return {Action::stop, now};
  const Mono due = std::max(last_sent_.value_or(held_since_), held_since_) +
                   std::chrono::duration_cast<LeaseTimes::Span>(times_.beat_every * stretched);
  if (now >= due) return {Action::beat, now};
  return {Action::wait, std::min(due, stop_at())};
}

void LeaseKeeper::acknowledged(Mono sent_at) { held_since_ = std::max(held_since_, sent_at); }

}  // namespace rowcrew
