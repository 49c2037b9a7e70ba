// Registration, heartbeats, and the watch over other nodes' heartbeats.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "base/service.hpp"
#include "queue/lease_watch.hpp"
#include "queue/policy_pacer.hpp"
#include "runtime/adopted_tables.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Heartbeat final : public Service {
 public:
  struct Events {
    std::function<void()> may_claim;   ///< registered, or the lease has come back
    std::function<void()> lease_over;  ///< every handler was asked to stop
    std::function<void(Mono)> held;    ///< until when children may run on this lease
    std::function<void()> node_dead;   ///< some node was declared dead: its claims wait to be reaped
    std::function<void()> overdue;     ///< jobs of this node's queues have been due for a while
    std::function<void()> new_server;  ///< the first one, or another than before: what it holds is unknown
    std::function<void()> beaten;      ///< a heartbeat has told whether there is a leader
    std::function<void()> pauses;      ///< other pauses than before
    std::function<void()> cancels;     ///< jobs are to be cancelled
    std::function<void()> commands;    ///< one may wait for this node
    std::function<void()> fleet;       ///< more other nodes than before, or they serve queues that this one does not
  };
  Heartbeat(NodeState& state, std::string version, Events events);

  /// Policies of job types have changed: the next beat reads them.
  void policies_changed() { policies_.changed(); }
  /// What beats tell has changed, or may have while nobody listened: the next one is due now.
  void beat_now() {
    beat_due_ = true;
    wake_.ring();
  }
  std::string_view name() const override { return "heartbeat"; }
  boost::asio::awaitable<void> run() override;
  /// Forgets this node in the database, so that nobody has to wait for its lease. At the very end.
  boost::asio::awaitable<void> unregister();

 private:
  struct Seen;
  boost::asio::awaitable<void> register_node();
  boost::asio::awaitable<void> beat();
  boost::asio::awaitable<void> renew();
  boost::asio::awaitable<void> keep_lease();
  boost::asio::awaitable<void> look();
  boost::asio::awaitable<void> reread_tables(const std::string& adopted);
  bool at_rest() const;
  Mono next_step() const;
  boost::asio::awaitable<void> watch_others(Mono asked, const std::vector<NodeBeat>& beats);
  void know_settings(const Seen& seen, std::uint64_t limits_told);
  boost::asio::awaitable<void> reread_policies(std::int64_t started);
  boost::asio::awaitable<void> write_statistics();
  void know_fleet(std::size_t others, std::set<std::string> served);
  void declared_dead();
  void count(NodeMetrics::Renewal result);
  void note_server(std::string_view started);

  NodeState& state_;
  AdoptedTables adopted_;
  std::string version_;
  Events events_;
  LeaseWatch watch_;
  std::string pauses_;  ///< as the last look saw them
  std::string server_;  ///< when the server that we beat on was started, by its own word
  bool beat_due_ = false;  ///< whatever the lease needs
  Wake wake_;
  double stretch_ = 1;  ///< of the time to the next beat, while at rest; drawn with each
  PolicyPacer policies_;
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
