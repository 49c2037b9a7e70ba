// Asks the database every few seconds for an API key that cannot exist, so that /readyz tells the
// truth before the first request, while a load balancer sends none, and once the database is back.
#pragma once

#include <optional>
#include <string_view>

#include <rowcrew/db.hpp>
#include <rowcrew/error.hpp>

#include "base/service.hpp"

namespace rowcrew {

class DatabaseProbe final : public Service {
 public:
  DatabaseProbe(Db& db, Clock& clock, Log& log) : db_(db), clock_(clock), log_(log) {}

  std::string_view name() const override { return "database_probe"; }
  boost::asio::awaitable<void> run() override;

  /// False before the first answer and after a failure of any kind: away, schema missing, rights
  /// missing.
  bool ready() const { return ready_; }
  /// For failures that requests meet: says once a minute what an operator has to do, if there is
  /// anything.
  void note_failure(const Error& error);
  void note_success() { ready_ = true; }

 private:
  boost::asio::awaitable<void> ask();

  Db& db_;
  Clock& clock_;
  Log& log_;
  bool ready_ = false;
  std::optional<Mono> next_line_;
};

}  // namespace rowcrew
