// Asks the database every few seconds for an API key that cannot exist, so that /readyz tells the
// truth before the first request, while a load balancer sends none, and once the database is back.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include <rowcrew/db.hpp>
#include <rowcrew/error.hpp>

#include "base/service.hpp"

namespace rowcrew {

class DatabaseProbe final : public Service {
 public:
  /// `reachable`: what the connections know (Pool::reachable).
  DatabaseProbe(Db& db, std::function<bool()> reachable, Clock& clock, Log& log)
      : db_(db), reachable_(std::move(reachable)), clock_(clock), log_(log) {}

  std::string_view name() const override { return "database_probe"; }
  boost::asio::awaitable<void> run() override;

  /// Reachable, with the schema and the rights that enqueueing needs.
  bool ready() const { return set_up_ && reachable_(); }
  /// For what requests meet, too. Says once a minute what an operator has to do, if anything.
  void note_failure(const Error& error);
  void note_success() { set_up_ = true; }

 private:
  boost::asio::awaitable<void> ask();

  Db& db_;
  std::function<bool()> reachable_;
  Clock& clock_;
  Log& log_;
  bool set_up_ = true;
  std::optional<Mono> next_line_;
};

}  // namespace rowcrew
