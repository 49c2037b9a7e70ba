#include "runtime/node_services.hpp"

#include <boost/asio/post.hpp>

#include "base/event.hpp"
#include "base/sd_notify.hpp"
#include "pg/lane.hpp"

namespace rowcrew {
namespace {

std::unique_ptr<Listener> make_listener(const NodeParts& parts, NodeServices& services) {
  if (!parts.config.listen) return nullptr;
  auto direct = direct_options(parts.connection);
  if (!direct) {
    parts.log.info(event::kListenerAbsent, {{"poll_every_ms", parts.config.poll_every.count()}},
                   "behind a pooler without database.direct_url: jobs are found by polling");
    return nullptr;
  }
  ListenerOptions options;
  options.connection = std::move(*direct);
  options.channels = {"rowcrew_wake", "rowcrew_fan", "rowcrew_command"};
  options.self_test = std::chrono::minutes(5);  // a beat finds what an unnoticed loss has missed
  options.crowded = [&services] { services.state.crowded(); };
  options.lost = [&services] { services.deafened(); };
  auto on_notify = [&services](std::string_view channel, std::string_view payload) {
    if (services.state.metrics != nullptr) services.state.metrics->notified();
    if (channel == "rowcrew_wake") {
      services.gatekeeper.notified(payload);
    } else if (channel == "rowcrew_fan") {
      if (!services.state.leader) services.claimer.wake();
    } else {
      if (payload == "policies") {
        services.heartbeat.policies_changed();
        services.claimer.limits_changed();
        services.heartbeat.beat_now();
      }
      if (payload == "lead") services.heartbeat.beat_now();
      if (payload == "node_command") services.control.wake();
      if (payload == "cancel_request") services.cancellation.wake();
      if (payload == "pause" || payload == "queue") services.pauses.wake();
    }
  };
  auto on_ready = [&services] {
    services.state.hears = true;
    if (services.state.metrics != nullptr) services.state.metrics->listening();
    services.gatekeeper.reconnected();
    services.heartbeat.policies_changed();
    services.claimer.limits_changed();  // a rule may have been made before anybody listened
    services.heartbeat.beat_now();      // until one tells, each claim looks for what is limited
    services.control.wake();
    services.cancellation.wake();
    services.pauses.wake();
    services.reconciler.wake();
  };
  return std::make_unique<Listener>(std::move(options), std::move(on_notify), std::move(on_ready), parts.log,
                                    parts.clock, parts.random);
}

/// Lanes of their own, or the pool behind a transaction pooler, where a session keeps nothing.
std::vector<std::unique_ptr<Wire>> make_wires(const NodeParts& parts) {
  auto wires = make_lanes(parts.connection, parts.config.lanes, parts.io.get_executor(), parts.clock);
  while (wires.size() < parts.config.lanes) wires.push_back(std::make_unique<PoolWire>(parts.pool));
  return wires;
}

std::unique_ptr<Wire> make_gate(const NodeParts& parts) {
  auto direct = direct_options(parts.connection);
  if (!parts.config.listen || !direct) return nullptr;
  return std::make_unique<Lane>(std::move(*direct), parts.io.get_executor(), parts.clock);
}

/// The lease ends while nobody can stop its handlers: by then the node must have been restarted.
StuckLimits stuck_limits(const NodeConfig& config) {
  StuckLimits limits;
  limits.ended_after = std::max<std::chrono::milliseconds>(config.lease / 2, limits.named_after);
  return limits;
}

}  // namespace

NodeServices::NodeServices(const NodeParts& parts, std::function<void()> job_ended)
    : state(parts.io.get_executor(), parts.config, parts.pool, parts.registry, parts.ports,
            parts.transactions, parts.clock, parts.random, parts.log),
      completer(state),
      progress(state),
      pauses(state, completer, [this] { claimer.pauses_changed(); }),
      intake(state, completer, pauses,
             [this](std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed) { claimer.start_sifted(table, epoch, std::move(claimed)); }),
      loop_watch(parts.clock, parts.log, stuck_limits(parts.config), [] { sd_notify_state("WATCHDOG=trigger"); }),
      executor(state, completer, progress, loop_watch, [this](std::string_view queue, MonoClock::duration ran) { claimer.slot_freed(queue, ran); }),
      claimer(state, executor, completer, intake),
      exchanger(state, claimer, completer, make_wires(parts)),
      heartbeat(state, parts.version,
                Heartbeat::Events{[this] { completer.tables_changed(); claimer.look_everywhere(); gatekeeper.may_lead(); }, [this] { lease_over(); }, parts.lease_held,
                                  [this] { reaper.wake(); }, [this] { claimer.wake(); promoter.expect({}); },
                                  [this] { new_server(); }, [this] { beaten(); },
                                  [this] { pauses.wake(); }, [this] { cancellation.wake(); }, [this] { control.wake(); },
                                  [this] { gatekeeper.fleet_changed(); }}),
      lease_guard(state, [this] { lease_over(); }),
      reaper(state, [this] { claimer.wake(); }),
      reconciler(state, completer, claimer),
      promoter(state, [this] { claimer.wake(); }),
      scheduler(state),
      maintainer(state, [this] { claimer.wake(); }),
      gatekeeper(state, claimer, make_gate(parts),
                 Gatekeeper::Events{[this](std::chrono::milliseconds due) { promoter.expect(due); }, [this] { reaper.wake(); },
                                    [this] { heartbeat.beat_now(); }}),
      control(state, parts.log),
      cancellation(state, claimer),
      watchdog(parts.clock),
      listener(make_listener(parts, *this)) {
  state.crowded = [&pool = parts.pool] { pool.give_way(); };
  if (parts.table_described) state.table_described = parts.table_described;
  executor.on_ended(std::move(job_ended));
  claimer.on_short([this] { gatekeeper.settled(); });
  claimer.on_filled([this] { gatekeeper.filled(); });
  claimer.on_unknown([this] { reconciler.wake(); });
  completer.on_written([this] { claimer.ends_written(); });
  completer.on_permits([this](std::size_t table) { claimer.permits_freed(table); });
  claimer.on_due([this] { exchanger.ring(); });
  completer.on_batch([this] { exchanger.ring(); });
  completer.on_parked([this](const EndedJob& ended) {
    if (ended.job.crashes > 0) claimer.look_for_survivors();  // which are claimed from where they wait
    promoter.expect(ended.ending.delay);
  });
  if (listener) {
    parts.pool.on_loss([io = parts.io.get_executor(), quiet = listener.get()] {
      boost::asio::post(io, [quiet] { quiet->probe(); });
    });
  }
}

void NodeServices::new_server() {
  maintainer.audit_everything();
  reconciler.wake();
  reaper.wake();
}

void NodeServices::beaten() {
  gatekeeper.beaten();
  if (!state.all_led()) promoter.expect({});  // it may have counted on a leader until now
}

/// Nothing that is announced reaches this node: it looks by itself as if it had no listener, and leads nobody.
void NodeServices::deafened() {
  state.hears = false;
  claimer.follow_leader();
  gatekeeper.deafened();
}

void NodeServices::lease_over() {
  claimer.forget_local();
  reconciler.wake();
}

void NodeServices::start(Supervisor& supervisor) {
  supervisor.start(completer);
  supervisor.start(progress);
  supervisor.start(intake);
  for (Service* lane : exchanger.lanes()) supervisor.start(*lane);
  supervisor.start(lease_guard);
  supervisor.start(heartbeat);
  supervisor.start(reconciler);
  supervisor.start(reaper);
  supervisor.start(promoter);
  supervisor.start(scheduler);
  supervisor.start(maintainer);
  supervisor.start(control);
  supervisor.start(cancellation);
  supervisor.start(pauses);
  if (listener) supervisor.start(*listener);
  supervisor.start(claimer);
  supervisor.start(gatekeeper);
}

}  // namespace rowcrew
