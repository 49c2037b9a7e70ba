// Whether calling a provider makes sense now: a lane for the account, and one for each of its models.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/outcome.hpp>
#include <rowcrew/provider_lane.hpp>

namespace rowcrew {

/// Rates are limited by model, models are overloaded and retired one by one: none of it stops the others (verdicts whose code ends in
/// _rate_limited, _day_used_up, _overloaded or _model_unknown). Says in the log when a lane closes, once
/// per reason (`provider.closed`), and when it is open again (`provider.opened`). Event thread.
class AccountLanes {
 public:
  AccountLanes(std::string provider, Clock& clock, Log& log);

  /// One call's leave. Whoever ends without telling what came of it (cancelled, no call made) makes room for the next.
  class Leave {
   public:
    Leave(AccountLanes& lanes, std::string model) : lanes_(lanes), model_(std::move(model)) {}
    ~Leave() {
      if (!told_) lanes_.forget(model_);
    }
    Leave(const Leave&) = delete;
    Leave& operator=(const Leave&) = delete;
    /// The outcome of the verdict; nullopt for `answered`.
    std::optional<Outcome> tell(const ProviderVerdict& verdict) {
      told_ = true;
      return lanes_.tell(model_, verdict);
    }

   private:
    AccountLanes& lanes_;
    std::string model_;
    bool told_ = false;
  };

  /// Nullopt: make a Leave and call. Else the outcome of not calling.
  std::optional<Outcome> closed(const std::string& model);

 private:
  void forget(const std::string& model);
  std::optional<Outcome> tell(const std::string& model, const ProviderVerdict& verdict);
  void tell_lane(ProviderLane& lane, const std::string& model, const ProviderVerdict& verdict);

  std::string provider_;
  Clock& clock_;
  Log& log_;
  ProviderLane account_;
  std::map<std::string, ProviderLane> models_;
};

}  // namespace rowcrew
