// Registration, heartbeats, and the watch over other nodes' heartbeats.
#pragma once

#include <functional>
#include <string>

#include "base/service.hpp"
#include "queue/lease_watch.hpp"
#include "runtime/adopted_tables.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Heartbeat final : public Service {
 public:
  struct Events {
    std::function<void()> may_claim;   ///< registered, or the lease has come back
    std::function<void()> lease_over;  ///< every handler was asked to stop
    std::function<void()> node_dead;   ///< some node was declared dead: its claims wait to be reaped
  };
  Heartbeat(NodeState& state, std::string version, Events events);

  std::string_view name() const override { return "heartbeat"; }
  boost::asio::awaitable<void> run() override;
  /// Forgets this node in the database, so that nobody has to wait for its lease. At the very end.
  boost::asio::awaitable<void> unregister();

 private:
  boost::asio::awaitable<void> register_node();
  boost::asio::awaitable<void> beat();
  boost::asio::awaitable<void> watch_others();
  boost::asio::awaitable<void> reread_settings();
  boost::asio::awaitable<void> write_statistics();
  void declared_dead();

  NodeState& state_;
  AdoptedTables adopted_;
  std::string version_;
  Events events_;
  LeaseWatch watch_;
  Mono next_job_types_{};
};

/// Ends every handler in time when the lease cannot be renewed, whatever the heartbeat is stuck in.
class LeaseGuard final : public Service {
 public:
  LeaseGuard(NodeState& state, std::function<void()> lease_over);
  std::string_view name() const override { return "lease_guard"; }
  boost::asio::awaitable<void> run() override;

 private:
  NodeState& state_;
  std::function<void()> lease_over_;
};

}  // namespace rowcrew
