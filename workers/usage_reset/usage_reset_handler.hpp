// Kind `usage_reset`: opens the usage periods that are due, by a port of the application.
#pragma once

#include <rowcrew/db.hpp>
#include <rowcrew/handler.hpp>
#include <rowcrew/ports.hpp>

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::usage_reset {

class UsageResetHandler final : public Handler {
 public:
  explicit UsageResetHandler(const Deps& deps);

  /// Completes with {"opened": n}. Throws what Ports::bind and Db::query throw: a port that raises
  /// an exception fails or retries the job by its SQLSTATE.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  Db& db_;
  Ports& ports_;
};

}  // namespace rowcrew::usage_reset

namespace rowcrew {

void register_usage_reset(Registry& registry, Deps& deps);

}  // namespace rowcrew
