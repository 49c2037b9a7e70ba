#include <rowcrew/provider_lane.hpp>

#include <algorithm>

namespace rowcrew {

using std::chrono::milliseconds;

std::optional<milliseconds> ProviderLane::admit(Mono now) {
  if (state_ == State::open) return std::nullopt;
  if (now < until_) {
    return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(until_ - now));
  }
  trial_ = state_ == State::trying ? std::min(2 * trial_, kLongestTrial) : kTrial;
  state_ = State::trying;
  until_ = now + trial_;  // should nobody tell what became of it, the next one tries
  return std::nullopt;
}

bool ProviderLane::tell(const ProviderVerdict& verdict, Mono now) {
  using Act = ProviderVerdict::Act;
  if (verdict.act != Act::wait && verdict.act != Act::shut) {
    // An answer to what was sent before the lane closed says nothing of why it did.
    if (state_ == State::trying) *this = ProviderLane();
    return false;
  }
  if (state_ == State::closed) {
    if (verdict.wait) until_ = std::max(until_, now + std::min(*verdict.wait, kLongestWait));
    return false;
  }
  milliseconds length = std::clamp(verdict.wait.value_or(kFirstShut), milliseconds(1), kLongestWait);
  if (verdict.act == Act::shut && !verdict.wait) {
    length = shut_ = std::clamp(2 * shut_, kFirstShut, kLongestShut);
  }
  const bool news = why_ != verdict.code;
  state_ = State::closed;
  until_ = now + length;
  why_ = verdict.code;
  return news;
}

void ProviderLane::forget() {
  if (state_ == State::trying) until_ = Mono{};
}

std::optional<Outcome> outcome_of(const ProviderVerdict& verdict, milliseconds closed_for) {
  using Act = ProviderVerdict::Act;
  switch (verdict.act) {
    case Act::answered: return std::nullopt;
    case Act::wait:
    case Act::shut: return Outcome(Snooze(closed_for, verdict.message));
    case Act::again: return Outcome(Retry(verdict.code, verdict.message, verdict.wait));
    case Act::fail: return Outcome(Failed(verdict.code, verdict.message));
  }
  return std::nullopt;
}

}  // namespace rowcrew
