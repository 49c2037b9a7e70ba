#include "queue/suspect_pacer.hpp"

#include <algorithm>

namespace rowcrew {

void SuspectPacer::looked(Mono now, bool suspect_waits, double unit) {
  if (!suspect_waits) {
    settled();
    return;
  }
  if (drain_from_) return;
  drain_from_ = now + std::chrono::duration_cast<MonoClock::duration>(options_.patience * (1.0 + unit));
}

void SuspectPacer::settled() {
  drain_from_.reset();
  drain_until_.reset();
  tries_ = 0;
}

SuspectPacer::Action SuspectPacer::next(Mono now, std::size_t running) {
  if (!drain_from_) return Action::claim_normally;
  if (running == 0) return Action::claim_suspect;
  if (now < *drain_from_) return Action::claim_normally;
  if (!drain_until_) {
    const auto span = std::min(options_.longest_drain, options_.first_drain * (1 << std::min(tries_, 10)));
    drain_until_ = now + span;
  }
  if (now < *drain_until_) return Action::hold;
  // In vain: let others work for as long as we held them up, then try for longer.
  drain_from_ = now + (*drain_until_ - *drain_from_);
  drain_until_.reset();
  ++tries_;
  return Action::claim_normally;
}

std::optional<Mono> SuspectPacer::until() const { return drain_until_ ? drain_until_ : drain_from_; }

}  // namespace rowcrew
