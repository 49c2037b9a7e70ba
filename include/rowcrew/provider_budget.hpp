// What may be spent on one provider in a day (UTC): rowcrew.provider_budget, asked for the whole fleet.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew {

class Db;
class JobContext;
class Log;

/// One per provider and process. The ledger is asked once a second at most; between that this process counts what it
/// spends itself, so that a budget is passed by what is in flight, and by a second of the other nodes.
class ProviderBudget {
 public:
  /// How long a job waits at most before it asks again: a budget that was raised is seen that soon.
  static constexpr std::chrono::milliseconds kLook{std::chrono::minutes{15}};

  ProviderBudget(Db& db, Clock& clock, Log& log, std::string provider);

  /// Nullopt: call. Else a Snooze until midnight or kLook, whichever comes first. Says `provider.budget_low` (warning) and
  /// `provider.budget_spent` (error) once a day in the whole fleet, as an event of the outbox, too. Throws DbError.
  boost::asio::awaitable<std::optional<Outcome>> spent(JobContext& context);
  /// What this process has just booked.
  void add(std::int64_t cost_micros);

 private:
  std::optional<Outcome> closed() const;

  Db& db_;
  Clock& clock_;
  Log& log_;
  std::string provider_;
  std::optional<Mono> asked_;
  bool limited_ = false;     ///< there is a budget
  std::int64_t day_ = 0;     ///< micros
  std::int64_t spent_ = 0;   ///< micros
  std::chrono::milliseconds wait_{};  ///< until the next look, should it be spent
};

}  // namespace rowcrew
