// The services of one node and what they tell each other.
#pragma once

#include <memory>
#include <string>

#include "base/service.hpp"
#include "pg/listener.hpp"
#include "runtime/cancellation.hpp"
#include "runtime/claimer.hpp"
#include "runtime/completer.hpp"
#include "runtime/control.hpp"
#include "runtime/exchanger.hpp"
#include "runtime/executor.hpp"
#include "runtime/gatekeeper.hpp"
#include "runtime/heartbeat.hpp"
#include "runtime/intake.hpp"
#include "runtime/loop_watch.hpp"
#include "runtime/maintainer.hpp"
#include "runtime/node.hpp"
#include "runtime/pauses.hpp"
#include "runtime/progress.hpp"
#include "runtime/promoter.hpp"
#include "runtime/reaper.hpp"
#include "runtime/reconciler.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/watchdog.hpp"

namespace rowcrew {

struct NodeServices {
  NodeServices(const NodeParts& parts, std::function<void()> job_ended);

  /// Completer first: whatever ends a job finds it there. Claimer last.
  void start(Supervisor& supervisor);
  void beaten();
  /// The listener is gone.
  void deafened();
  /// Every handler was asked to stop; what has not started is given up.
  void lease_over();
  void new_server();

  NodeState state;
  Completer completer;
  Progress progress;
  Pauses pauses;
  Intake intake;
  LoopWatch loop_watch;
  Executor executor;
  Claimer claimer;
  Exchanger exchanger;
  Heartbeat heartbeat;
  LeaseGuard lease_guard;
  Reaper reaper;
  Reconciler reconciler;
  Promoter promoter;
  Scheduler scheduler;
  Maintainer maintainer;
  Gatekeeper gatekeeper;
  Control control;
  Cancellation cancellation;
  Watchdog watchdog;
  std::unique_ptr<Listener> listener;  ///< null: polling only
};

}  // namespace rowcrew
