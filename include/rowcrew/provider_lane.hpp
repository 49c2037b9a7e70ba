// One account at one provider, as this process knows it: whether calling makes sense now. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/provider_verdict.hpp>

namespace rowcrew {

/// Open at first. A verdict `wait` closes it for as long as the provider said; `shut` closes it for half a
/// minute, then twice as long each time, up to fifteen minutes. When that is over one call goes first, the
/// others follow once it was answered. Whoever is not admitted snoozes and costs no attempt.
class ProviderLane {
 public:
  static constexpr std::chrono::milliseconds kFirstShut{std::chrono::seconds{30}};
  static constexpr std::chrono::milliseconds kLongestShut{std::chrono::minutes{15}};
  static constexpr std::chrono::milliseconds kLongestWait{std::chrono::hours{25}};
  /// How long others wait for the call that goes first. Without an answer by then another one follows it, the next
  /// one twice as late, up to kLongestTrial: slow providers are not flooded, quick ones not kept waiting.
  static constexpr std::chrono::milliseconds kTrial{std::chrono::seconds{1}};
  static constexpr std::chrono::milliseconds kLongestTrial{std::chrono::seconds{16}};

  /// Nullopt: call now, and tell() what came of it or forget() it. Else how long not to.
  std::optional<std::chrono::milliseconds> admit(Mono now);
  /// What an admitted call was answered. True when this closed the lane for another reason than the last
  /// time: worth a line in the log.
  bool tell(const ProviderVerdict& verdict, Mono now);
  /// An admitted call ended without an answer (cancelled, no connection).
  void forget();

  /// The code of the verdict that closed it; empty while it is open.
  const std::string& why() const { return why_; }

 private:
  enum class State { open, closed, trying };
  State state_ = State::open;
  Mono until_{};  ///< closed: end of the wait; trying: when the next may try
  std::chrono::milliseconds shut_{};
  std::chrono::milliseconds trial_{};
  std::string why_;
};

/// The outcome of a verdict: nullopt for `answered`; Snooze for `wait` and `shut` (as long as the lane
/// says), Retry for `again`, Failed for `fail`.
std::optional<Outcome> outcome_of(const ProviderVerdict& verdict, std::chrono::milliseconds closed_for);

}  // namespace rowcrew
