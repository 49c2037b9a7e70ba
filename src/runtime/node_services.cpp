#include "runtime/node_services.hpp"

namespace rowcrew {
namespace {

std::unique_ptr<Listener> make_listener(const NodeParts& parts, NodeServices& services) {
  if (!parts.config.listen) return nullptr;
  ListenerOptions options;
  options.connection = parts.connection;
  options.channels = {"rowcrew_wake", "rowcrew_command"};
  auto on_notify = [&services](std::string_view channel, std::string_view) {
    if (channel == "rowcrew_wake") {
      services.claimer.wake();
    } else {
      services.control.wake();
    }
  };
  auto on_ready = [&services] {
    services.claimer.look_everywhere();
    services.control.wake();
    services.reconciler.wake();
  };
  return std::make_unique<Listener>(std::move(options), std::move(on_notify), std::move(on_ready), parts.log,
                                    parts.clock, parts.random);
}

}  // namespace

NodeServices::NodeServices(const NodeParts& parts, std::function<void()> job_ended)
    : state(parts.io.get_executor(), parts.config, parts.pool, parts.registry, parts.ports, parts.clock, parts.random, parts.log),
      completer(state),
      executor(state, completer, [this](std::string_view queue) { claimer.slot_freed(queue); }),
      claimer(state, executor, completer),
      heartbeat(state, parts.version,
                Heartbeat::Events{[this] { claimer.look_everywhere(); }, [this] { reconciler.wake(); },
                                  [this] { reaper.wake(); }}),
      lease_guard(state, [this] { reconciler.wake(); }),
      reaper(state, [this] { claimer.wake(); }),
      reconciler(state, completer),
      promoter(state, [this] { claimer.wake(); }),
      scheduler(state),
      maintainer(state, [this] { claimer.wake(); }),
      control(state, parts.log),
      watchdog(parts.clock),
      listener(make_listener(parts, *this)) {
  executor.on_ended(std::move(job_ended));
  completer.on_parked([this](std::chrono::milliseconds delay) { promoter.expect(delay); });
}

void NodeServices::start(Supervisor& supervisor) {
  supervisor.start(watchdog);
  supervisor.start(completer);
  supervisor.start(lease_guard);
  supervisor.start(heartbeat);
  supervisor.start(reconciler);
  supervisor.start(reaper);
  supervisor.start(promoter);
  supervisor.start(scheduler);
  supervisor.start(maintainer);
  supervisor.start(control);
  if (listener) supervisor.start(*listener);
  supervisor.start(claimer);
}

}  // namespace rowcrew
