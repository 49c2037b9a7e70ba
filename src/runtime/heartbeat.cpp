#include "runtime/heartbeat.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/event.hpp"
#include "queue/job_rows.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace

Heartbeat::Heartbeat(NodeState& state, std::string version, Events events)
    : state_(state), adopted_(state), version_(std::move(version)), events_(std::move(events)) {}

asio::awaitable<void> Heartbeat::run() {
  int failures = 0;
  for (;;) {
    bool failed = false;
    Mono until = state_.clock.mono() + 1s;
    try {
      if (state_.identity.node_id == 0) {
        co_await register_node();
      } else {
        const LeaseKeeper::Next next = state_.lease->next(state_.clock.mono());
        // A lease that is over is renewed the same way: either nobody has noticed, or the answer
        // says that we are dead.
        if (next.action != LeaseKeeper::Action::wait) co_await beat();
      }
      failures = 0;
      if (state_.identity.node_id != 0) until = state_.lease->next(state_.clock.mono()).until;
    } catch (const Error& e) {
      state_.log.debug(event::kLeaseStopping, {{"code", e.code()}}, e.what());
      failed = true;
    }
    if (failed) {
      const auto ceiling = std::min<std::chrono::milliseconds>(2s, 100ms * (1 << std::min(failures++, 5)));
      until = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(ceiling * (0.5 + state_.random.unit() / 2));
    }
    co_await state_.clock.sleep_until(until);
  }
}

asio::awaitable<void> Heartbeat::register_node() {
  const auto epoch = static_cast<std::int64_t>(state_.random.bits() >> 1);
  const Mono sent = state_.clock.mono();
  const std::vector<std::string> queues = state_.config.queue_names();
  Params params;
  params.add(epoch).add(state_.config.lease).add(state_.config.name).add(host_name()).add(::getpid()).add(version_).add_array(queues)
      .add_array(state_.registry.job_types());
  const Rows rows = co_await state_.db.query(sql::node_register, std::move(params));
  const LeaseTimes times = LeaseTimes::of(state_.config.lease);
  state_.identity.node_id = rows.integer(0, 0);
  state_.identity.epoch = epoch;
  state_.lease.emplace(times, sent);
  events_.held(state_.lease->children_end_at());
  state_.log.info(event::kNodeReady, {{"node_id", state_.identity.node_id}}, "registered");
  co_await reread_settings();
  events_.may_claim();
  note_server(rows.text(0, 1));
}

/// Restarted, restored, or a promoted standby: something may be missing there that was here.
void Heartbeat::note_server(std::string_view started) {
  if (server_ == started) return;
  server_ = started;
  events_.new_server();
}

asio::awaitable<void> Heartbeat::beat() {
  const bool held = state_.holds_lease();
  const Mono sent = state_.clock.mono();
  state_.lease->sent(sent);
  Params params;
  params.add(state_.identity.node_id).add(state_.identity.epoch);
  const Rows rows = co_await state_.db.query(sql::node_beat, std::move(params));
  if (rows.empty()) {
    declared_dead();
    co_return;
  }
  state_.lease->acknowledged(sent);
  events_.held(state_.lease->children_end_at());
  note_server(rows.text(0, 2));
  state_.leader_present = rows.boolean(0, 0);
  if (rows.boolean(0, 1)) events_.overdue();
  events_.beaten();
  if (!held && state_.holds_lease()) events_.may_claim();
  co_await reread_settings();
  co_await watch_others();
  co_await write_statistics();
}

void Heartbeat::declared_dead() {
  state_.log.error(event::kLeaseLost, {{"node_id", state_.identity.node_id}},
                   "this node was declared dead by another: stopping its jobs, registering anew");
  state_.identity = NodeIdentity{};
  for (const auto& table : state_.tables) table->ledger.abandon();
  state_.running.stop_all(StopReason::lease);
  events_.lease_over();
}

asio::awaitable<void> Heartbeat::watch_others() {
  const Mono asked = state_.clock.mono();
  const Rows rows = co_await state_.db.query(sql::node_watch, Params{});
  std::vector<NodeBeat> beats;
  std::set<std::string> served;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    NodeBeat beat{};
    beat.node_id = rows.integer(i, 0);
    beat.epoch = rows.integer(i, 1);
    beat.beat = rows.integer(i, 2);
    beat.lease = std::chrono::milliseconds(rows.integer(i, 3));
    for (const std::string& queue : split_array(rows.text(i, 4))) served.insert(queue);
    if (beat.node_id != state_.identity.node_id) beats.push_back(beat);
  }
  know_fleet(beats.size(), std::move(served));
  for (const NodeBeat& late : watch_.observe(asked, state_.clock.mono(), beats)) {
    Params params;
    params.add(late.node_id).add(late.epoch).add(late.beat);
    const Rows dead = co_await state_.db.query(sql::node_declare_dead, std::move(params));
    if (dead.empty()) continue;
    state_.log.warning(event::kNodeDead, {{"node_id", late.node_id}, {"name", dead.text(0, 0)}},
                       "no heartbeat for a whole lease: its jobs are rescued");
    events_.node_dead();
  }
}

void Heartbeat::know_fleet(std::size_t others, std::set<std::string> served) {
  state_.others = others;
  const auto own = state_.config.queue_names();
  state_.others_serve_more = std::any_of(served.begin(), served.end(), [&](const std::string& queue) {
    return std::find(own.begin(), own.end(), queue) == own.end();
  });
  served.insert(own.begin(), own.end());
  state_.fleet_queues.clear();
  for (const std::string& queue : served) {
    if (!state_.paused.contains(queue)) state_.fleet_queues.push_back(queue);
  }
}

asio::awaitable<void> Heartbeat::reread_settings() {
  const std::uint64_t told = state_.limits_told;
  const Rows paused = co_await state_.db.query(sql::node_settings, Params{});
  std::set<std::string, std::less<>> now_paused;
  bool limits = false;
  for (std::size_t i = 0; i < paused.size(); ++i) {
    if (paused.is_null(i, 0)) {
      limits = true;
    } else {
      now_paused.emplace(paused.text(i, 0));
    }
  }
  limits = limits || told != state_.limits_told;
  const bool changed = now_paused != state_.paused || limits != state_.limits;
  state_.limits = limits;
  state_.paused = std::move(now_paused);
  if (state_.clock.mono() >= next_job_types_) {
    // A node that has done nothing is told of new policies, and has no use for new ports.
    const std::int64_t started = state_.statistics.total(Statistics::Count::started);
    next_job_types_ = state_.clock.mono() + (started == started_ ? std::chrono::seconds(5min) : 30s);
    started_ = started;
    const Rows types = co_await state_.db.query(sql::node_job_types, Params{});
    const Rows rules = co_await state_.db.query(sql::node_retry_rules, Params{});
    state_.job_types.load(types, rules);
    const Rows ports = co_await state_.db.query(sql::node_ports, Params{});
    for (const std::string& fault : state_.ports.load(ports)) {
      state_.log.error(event::kPortMismatch, {}, fault + ": the ports of before stay in use");
    }
  }
  bool more_tables = false;
  try {
    more_tables = co_await adopted_.reread();
  } catch (const DbError& e) {  // the tables of others are no reason to miss a heartbeat
    state_.log.debug(event::kTableHeld, {{"code", e.code()}}, e.what());
  }
  if (changed || more_tables) events_.may_claim();
}

asio::awaitable<void> Heartbeat::write_statistics() {
  if (state_.statistics.empty()) co_return;
  const Statistics::Buckets buckets = state_.statistics.take();
  std::optional<DbError> error;
  try {
    co_await state_.db.query(sql::node_add_stats, Statistics::params(state_.identity.node_id, buckets));
  } catch (const DbError& e) {
    error = e;
  }
  // Counted twice is worse than counted late, but an unknown outcome is neither known nor frequent.
  if (error && !error->outcome_unknown()) state_.statistics.restore(buckets);
}

asio::awaitable<void> Heartbeat::unregister() {
  if (state_.identity.node_id == 0) co_return;
  co_await write_statistics();
  Params params;
  params.add(state_.identity.node_id).add(state_.identity.epoch);
  co_await state_.db.query(sql::node_unregister, std::move(params));
  state_.identity = NodeIdentity{};
}

LeaseGuard::LeaseGuard(NodeState& state, std::function<void()> lease_over)
    : state_(state), lease_over_(std::move(lease_over)) {}

asio::awaitable<void> LeaseGuard::run() {
  bool warned = false;
  for (;;) {
    const Mono now = state_.clock.mono();
    const bool registered = state_.identity.node_id != 0 && state_.lease.has_value();
    if (registered && !state_.lease->holds(now)) {
      if (!warned) {
        state_.log.error(event::kLeaseStopping, {{"running", state_.running.size()}},
                         "no heartbeat could be written in time: stopping every job before the lease ends");
        for (const auto& table : state_.tables) table->ledger.abandon();
        state_.running.stop_all(StopReason::lease);
        lease_over_();
      }
      warned = true;
      co_await state_.clock.sleep_until(now + 100ms);
      continue;
    }
    warned = false;
    Mono until = now + 100ms;
    if (registered) until = state_.lease->stop_at();
    co_await state_.clock.sleep_until(until);
  }
}

}  // namespace rowcrew
