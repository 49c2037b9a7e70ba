// A connection of the event thread itself: calls go out in libpq's pipeline mode and come back
// without a hop to a database thread. For the few statements that are sent thousands of times a
// second; everything else goes through the Pool.
#pragma once

#include <memory>
#include <vector>

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
  /// A server that answers none of the calls for two seconds longer than statement_timeout counts as
  /// lost. Being cancelled closes the connection. Calls of another exec() travel behind those under way once
  /// their statements are prepared, and wait for their turn until then; what becomes of one round
  /// trip is nothing to the others, but with the connection those that were sent are lost as well.
  boost::asio::awaitable<std::vector<Rows>> exec(std::vector<Call> calls) override;

  bool connected() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// So many, none of them connected yet. Behind a transaction pooler none.
std::vector<std::unique_ptr<Wire>> make_lanes(const PoolOptions& options, unsigned count, boost::asio::any_io_executor executor,
                                              Clock& clock);

}  // namespace rowcrew
