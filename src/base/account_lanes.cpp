#include <rowcrew/account_lanes.hpp>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace rowcrew {
namespace {

using Act = ProviderVerdict::Act;

bool closes(const ProviderVerdict& verdict) { return verdict.act == Act::wait || verdict.act == Act::shut; }

bool is_of_the_model(const ProviderVerdict& verdict) {
  static constexpr std::string_view kOfOne[] = {"_model_unknown", "_rate_limited", "_day_used_up", "_overloaded"};
  return std::any_of(std::begin(kOfOne), std::end(kOfOne), [&](std::string_view end) { return verdict.code.ends_with(end); });
}

}  // namespace

AccountLanes::AccountLanes(std::string provider, Clock& clock, Log& log)
    : provider_(std::move(provider)), clock_(clock), log_(log) {}

std::optional<Outcome> AccountLanes::closed(const std::string& model) {
  const Mono now = clock_.mono();
  if (const auto wait = account_.admit(now)) return Outcome(Snooze(*wait, provider_ + ": closed, " + account_.why()));
  ProviderLane& lane = models_[model];
  const auto wait = lane.admit(now);
  if (!wait) return std::nullopt;
  account_.forget();
  return Outcome(Snooze(*wait, provider_ + ", " + model + ": closed, " + lane.why()));
}

void AccountLanes::forget(const std::string& model) {
  account_.forget();
  models_[model].forget();
}

std::optional<Outcome> AccountLanes::tell(const std::string& model, const ProviderVerdict& verdict) {
  ProviderLane& lane = models_[model];
  if (!closes(verdict)) {
    tell_lane(account_, "", verdict);
    tell_lane(lane, model, verdict);
    return outcome_of(verdict, {});
  }
  if (is_of_the_model(verdict)) {
    tell_lane(account_, "", ProviderVerdict());  // it knows us
    tell_lane(lane, model, verdict);
    return outcome_of(verdict, lane.admit(clock_.mono()).value_or(ProviderLane::kTrial));
  }
  lane.forget();
  tell_lane(account_, "", verdict);
  return outcome_of(verdict, account_.admit(clock_.mono()).value_or(ProviderLane::kTrial));
}

void AccountLanes::tell_lane(ProviderLane& lane, const std::string& model, const ProviderVerdict& verdict) {
  const std::string before = lane.why();
  const bool news = lane.tell(verdict, clock_.mono());
  if (news) {
    const auto level = verdict.act == Act::shut ? LogLevel::error : LogLevel::warning;
    const LogField fields[] = {{"provider", provider_}, {"model", model}, {"code", verdict.code}};
    log_.write(level, "provider.closed", fields, verdict.message);
  }
  if (!before.empty() && lane.why().empty()) {
    log_.info("provider.opened", {{"provider", provider_}, {"model", model}, {"code", before}});
  }
}

}  // namespace rowcrew
