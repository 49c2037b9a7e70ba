#include "runtime/node.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <algorithm>
#include <csignal>
#include <optional>

#include "base/event.hpp"
#include "base/exit_code.hpp"
#include "base/sd_notify.hpp"
#include "runtime/installation.hpp"
#include "runtime/node_endpoint.hpp"
#include "runtime/node_services.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

/// How the time to stop is shared out: waiting for jobs, ending the rest, writing.
struct StopPlan {
  Mono drain_until;
  Mono cancel_until;
  Mono write_until;
  Mono end;

  StopPlan(Mono now, std::chrono::milliseconds within) {
    // Ending connections that do not answer takes up to a second; children get a fifth of `within`
    // between SIGTERM and SIGKILL (node_program.cpp).
    end = now + within;
    write_until = end - std::min(within / 5, 1'500ms);
    cancel_until = write_until - std::min(within / 10, 2'000ms);
    drain_until = cancel_until - std::min(within * 3 / 10, 6'000ms);
  }
};

}  // namespace

struct Node::State {
  explicit State(NodeParts p)
      : parts(std::move(p)), supervisor(parts.io.get_executor(), parts.clock, parts.random, parts.log),
        change(parts.io.get_executor(), parts.clock), signals(parts.io),
        services(parts, [this] { change.ring(); }) {
    if (!parts.config.metrics_listen.empty()) endpoint = std::make_unique<NodeEndpoint>(parts, services.state);
  }

  asio::awaitable<void> live(NodeMode mode);
  asio::awaitable<bool> wait_for_installation();
  asio::awaitable<std::optional<std::string>> load_ports();
  asio::awaitable<void> prepare_handlers();
  asio::awaitable<void> wait_for_stop(NodeMode mode);
  asio::awaitable<void> stop();
  asio::awaitable<void> unregister(Mono until);
  asio::awaitable<void> wait_for_jobs(Mono until, bool also_second_signal);
  void await_signal();
  void ready(std::string_view status);

  NodeParts parts;
  Supervisor supervisor;
  Wake change;
  asio::signal_set signals;
  NodeServices services;
  std::unique_ptr<NodeEndpoint> endpoint;  ///< null: nobody may ask
  int stop_requests = 0;
  bool installed = false;  ///< the database has answered, and is one to work on
  bool failed = false;
  bool said_ready = false;
  int exit_code = kExitOk;
};

Node::Node(NodeParts parts) : state_(std::make_unique<State>(std::move(parts))) {}
Node::~Node() = default;

int Node::run(NodeMode mode) {
  State& s = *state_;
  s.signals.add(SIGTERM);
  s.signals.add(SIGINT);
  struct sigaction hangup{};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) s.signals.add(SIGHUP);  // a terminal that is closed; nohup keeps it out
  s.await_signal();
  s.supervisor.on_fatal([&s](std::string_view service) {
    s.parts.log.error(event::kServiceFailed, {{"service", service}}, "gave up: stopping the node");
    s.failed = true;
    s.exit_code = kExitFailure;
    s.change.ring();
  });
  std::exception_ptr error;
  asio::co_spawn(s.parts.io, s.live(mode), [&](std::exception_ptr e) {
    error = e;
    s.parts.io.stop();
  });
  s.parts.io.run();
  if (error) std::rethrow_exception(error);
  return s.exit_code;
}

void Node::State::await_signal() {
  signals.async_wait([this](boost::system::error_code ec, int) {
    if (ec) return;
    ++stop_requests;
    if (!installed) parts.pool.stop(0ms);  // a question that nobody answers would keep its time, not ours
    change.ring();
    await_signal();
  });
}

void Node::State::ready(std::string_view status) {
  const std::string text = "STATUS=" + std::string(status);
  sd_notify_state(said_ready ? text : "READY=1\n" + text);
  said_ready = true;
}

asio::awaitable<void> Node::State::live(NodeMode mode) {
  parts.log.info(event::kNodeStarted, {{"version", parts.version}, {"lease_ms", parts.config.lease.count()}});
  supervisor.start(services.watchdog);  // READY may be said while the database is away
  if (endpoint) endpoint->start(supervisor);
  installed = co_await wait_for_installation();
  if (!installed) {
    co_await supervisor.stop_all(50ms);
    co_return;
  }
  services.start(supervisor);
  ready("running");
  co_await wait_for_stop(mode);
  co_await stop();
}

/// False: told to stop, or the installation is none to work on.
asio::awaitable<bool> Node::State::wait_for_installation() {
  auto pause = 100ms;
  for (;;) {
    std::optional<Installation> found;
    std::optional<std::string> broken;
    try {
      found = co_await read_installation(parts.pool);
      if (!refusal(*found, parts.schema_version)) broken = co_await load_ports();
      if (!refusal(*found, parts.schema_version) && !broken) co_await prepare_handlers();
    } catch (const Error& e) {
      found.reset();
      if (e.error_class() != ErrorClass::transient) broken = e.what();
    }
    if (found || broken) {
      const auto why = broken ? broken : refusal(*found, parts.schema_version);
      if (!why) co_return stop_requests == 0;
      parts.log.error(event::kNodeStopped, {}, *why);
      exit_code = kExitConfig;
      co_return false;
    }
    ready("database unreachable, retrying");
    co_await change.wait_until(parts.clock.mono() + pause);
    if (stop_requests > 0) co_return false;
    pause = std::min(pause * 2, 2000ms);
  }
}

/// The first of the signatures that are wrong, as a sentence.
asio::awaitable<std::optional<std::string>> Node::State::load_ports() {
  const Rows rows = co_await parts.pool.query(sql::node_ports, Params{});
  const std::vector<std::string> faults = parts.ports.load(rows);
  if (faults.empty()) co_return std::nullopt;
  co_return faults.front();
}

asio::awaitable<void> Node::State::prepare_handlers() {
  for (const std::string& job_type : parts.registry.job_types()) co_await parts.registry.find(job_type)->prepare();
}

asio::awaitable<void> Node::State::wait_for_stop(NodeMode mode) {
  while (stop_requests == 0 && !failed) {
    if (mode == NodeMode::until_empty && services.promoter.passed() && services.claimer.drained()) co_return;
    const std::chrono::milliseconds nap = mode == NodeMode::until_empty ? 50ms : 3'600'000ms;
    co_await change.wait_until(parts.clock.mono() + nap);
  }
}

asio::awaitable<void> Node::State::wait_for_jobs(Mono until, bool also_second_signal) {
  while (!services.state.running.empty() && parts.clock.mono() < until) {
    if (also_second_signal && stop_requests > 1) co_return;
    co_await change.wait_until(until);
  }
}

asio::awaitable<void> Node::State::stop() {
  const StopPlan plan(parts.clock.mono(), parts.config.stop_within);
  services.state.stopping = true;
  services.gatekeeper.resign();
  services.claimer.hand_back_local();
  parts.log.info(event::kNodeStopping, {{"running", services.state.running.size()}});
  sd_notify_state("STOPPING=1\nSTATUS=waiting for running jobs");
  co_await wait_for_jobs(plan.drain_until, true);
  services.state.running.stop_all(StopReason::stopping);
  co_await wait_for_jobs(plan.cancel_until, false);
  // A claim that was sent before may be answered yet: its jobs go back like all others.
  const auto settled = [this] { return !services.claimer.under_way() && services.gatekeeper.resigned(); };
  while (!settled() && parts.clock.mono() < plan.write_until) co_await change.wait_until(parts.clock.mono() + 10ms);
  const bool written = co_await services.completer.drain(plan.write_until) && !services.claimer.under_way();
  if (written) co_await unregister(plan.write_until);
  const std::size_t left = services.state.running.size() + services.completer.pending() + (services.claimer.under_way() ? 1 : 0);
  parts.log.info(event::kNodeStopped, {{"unwritten", left}},
                 left == 0 ? "every job was finished or handed back" : "the rest is rescued when this node's lease ends");
  parts.pool.stop(0ms);
  co_await supervisor.stop_all(std::chrono::duration_cast<std::chrono::milliseconds>(std::max<MonoClock::duration>(plan.end - parts.clock.mono(), 50ms)));
}

/// Bounded: a database that does not answer any more must not hold up the stop.
asio::awaitable<void> Node::State::unregister(Mono until) {
  bool done = false;
  // The heartbeat must not register again behind our back.
  co_await supervisor.stop(services.heartbeat, 200ms);
  asio::co_spawn(parts.io, services.heartbeat.unregister(), [this, &done](std::exception_ptr) {
    done = true;
    change.ring();
  });
  while (!done && parts.clock.mono() < until) co_await change.wait_until(until);
  if (!done) parts.pool.stop(0ms);
  while (!done) co_await change.wait_until(parts.clock.mono() + 1s);
}

}  // namespace rowcrew
