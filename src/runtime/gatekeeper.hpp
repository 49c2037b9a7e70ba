// The sleeper gate (sql/migrations/0010, engine protocol section 1): one node of the fleet, the leader,
// decides whether producers must notify. It sleeps while nothing is due, wakes the others when there is
// more than it can take, and does for all what need be done once: promotion, rescue, schedules, audit.
#pragma once

#include <functional>
#include <memory>

#include "base/service.hpp"
#include "pg/wire.hpp"
#include "queue/sleep_policy.hpp"
#include "runtime/claimer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Gatekeeper final : public Service {
 public:
  struct Events {
    std::function<void(std::chrono::milliseconds)> parked_due;  ///< a parked job is due after this long
    std::function<void()> claims_orphaned;                      ///< a claim has lost its node
    std::function<void()> joined;                               ///< a node has: a heartbeat tells of it
  };
  /// `wire`: a connection that nothing else uses, for its session holds the locks. Null: no gate, the
  /// node polls and leads itself.
  Gatekeeper(NodeState& state, Claimer& claimer, std::unique_ptr<Wire> wire, Events events);

  std::string_view name() const override { return "gatekeeper"; }
  boost::asio::awaitable<void> run() override;

  /// A notification: a job table where work was filed, "parked", or "node" when one has joined the fleet.
  void notified(std::string_view what);
  /// The node is registered, or holds its lease again.
  void may_lead() { wake_.ring(); }
  /// A heartbeat has told whether there is a leader.
  void beaten();
  /// The listener has (re)connected: what was announced meanwhile is unknown.
  void reconnected();
  /// The listener is gone: whoever leads and sleeps has to hear, another may.
  void deafened() { wake_.ring(); }
  /// There are other nodes than before, or they serve other queues: what nobody here could take may be for them.
  void fleet_changed();
  /// The claims have come to an end of what there is.
  void settled();
  /// A claim was filled. Asleep nobody else has heard of what lies behind.
  void filled();
  bool active() const { return wire_ != nullptr; }
  /// The node stops: another is to lead, and hears of it at once. Until resigned() others cannot.
  void resign() { wake_.ring(); }
  bool resigned() const { return !active() || (!state_.leader && !led_); }

 private:
  boost::asio::awaitable<void> lead();
  boost::asio::awaitable<void> give_up();
  boost::asio::awaitable<void> stay_awake();
  boost::asio::awaitable<void> fall_asleep();
  boost::asio::awaitable<void> stay_asleep();
  boost::asio::awaitable<void> wake_up();
  boost::asio::awaitable<Rows> answer(const Statement& statement, Params params);
  boost::asio::awaitable<bool> ask(const Statement& statement);
  boost::asio::awaitable<bool> pulse();
  boost::asio::awaitable<void> fan_out();
  void abdicate();

  NodeState& state_;
  Claimer& claimer_;
  std::unique_ptr<Wire> wire_;
  Events events_;
  Wake wake_;
  SleepPolicy policy_;
  bool asleep_ = false;
  bool drained_ = false;
  bool rise_ = false;        ///< notifications come too fast
  bool led_ = false;         ///< our session may hold the lock still, then nobody else will lead
  bool pulse_due_ = false;   ///< something was parked
  bool fan_due_ = false;
  Mono next_pulse_{};
  std::vector<Mono> next_whole_ = std::vector<Mono>(kMostTables);  ///< pulse, per table
  Mono next_fan_{};
  bool spread_due_ = false;  ///< others are to be told of what filled claims have left
  Mono next_spread_{};
};

}  // namespace rowcrew
