// A connection of the event thread itself: calls go out in libpq's pipeline mode and come back
// without a hop to a database thread. For the few statements that are sent thousands of times a
// second; everything else goes through the Pool.
#pragma once

#include <memory>

#include <rowcrew/clock.hpp>

#include "pg/pool.hpp"
#include "pg/wire.hpp"

namespace rowcrew {

/// Not for use behind a transaction pooler: the session's settings and prepared statements are its
/// own. Connects with the first call, on a thread of its own, and again after a loss; how long to
/// wait between attempts is the caller's business. Must be destroyed before its io_context.
class Lane final : public Wire {
 public:
  Lane(PoolOptions options, boost::asio::any_io_executor executor, Clock& clock);
  ~Lane() override;

  /// Of the calls the first that fails is thrown; none has happened then, unless outcome_unknown().
  /// A server that does not answer two seconds after statement_timeout counts as lost. Being
  /// cancelled closes the connection.
  boost::asio::awaitable<std::vector<Rows>> exec(std::vector<Call> calls) override;

  bool connected() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rowcrew
