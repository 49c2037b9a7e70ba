#include "runtime/heartbeat.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/escape.hpp"
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

std::set<std::string, std::less<>> set_of(std::string_view array) {
  std::set<std::string, std::less<>> names;
  for (std::string& name : split_array(array)) names.insert(std::move(name));
  return names;
}

/// In ASCII: whatever bytes an error holds, a beat must not be refused because of them.
std::optional<std::string> told_of(const std::vector<Troubles::Lasting>& troubles) {
  constexpr std::size_t kMostBytes = 300;
  if (troubles.empty()) return std::nullopt;
  nlohmann::json all = nlohmann::json::array();
  for (const Troubles::Lasting& trouble : troubles) {
    all.push_back({{"work", trouble.what}, {"for_ms", trouble.lasted.count()}, {"error", cut_utf8(trouble.why, kMostBytes)}});
  }
  return all.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

NodeBeat beat_of(const Rows& rows, std::size_t i) {
  return {rows.integer(i, 0), rows.integer(i, 1), rows.integer(i, 2), std::chrono::milliseconds(rows.integer(i, 3))};
}

}  // namespace

Heartbeat::Heartbeat(NodeState& state, std::string version, Events events)
    : state_(state), adopted_(state), version_(std::move(version)), events_(std::move(events)), wake_(state.executor, state.clock) {}

asio::awaitable<void> Heartbeat::run() {
  int failures = 0;
  for (;;) {
    bool failed = false;
    bool refused = false;
    bool beaten = true;
    Mono until = state_.clock.mono() + 1s;
    try {
      if (state_.identity.node_id == 0) {
        co_await register_node();
      } else {
        const LeaseKeeper::Next next = state_.lease->next(state_.clock.mono(), at_rest() ? stretch_ : 1);
        // A lease that is over is renewed the same way: either nobody has noticed, or the answer
        // says that we are dead.
        if (next.action != LeaseKeeper::Action::wait || beat_due_ || !state_.informed) {
          co_await beat();
        } else {
          beaten = false;
          if (state_.clock.mono() >= watch_.next_look().value_or(Mono::max())) co_await look();
        }
      }
      if (beaten) {
        failures = 0;
        state_.worked("heartbeats", "");
      }
      if (state_.identity.node_id != 0) until = next_step();
    } catch (const Error& e) {
      state_.failed("heartbeats", "", event::kLeaseStopping, e);
      failed = true;
      const auto* db = dynamic_cast<const DbError*>(&e);
      refused = db != nullptr && !db->connection_lost() && state_.identity.node_id != 0;
    }
    if (refused) co_await renew();
    if (failed) {
      const auto ceiling = std::min<std::chrono::milliseconds>(2s, 100ms * (1 << std::min(failures++, 5)));
      until = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(ceiling * (0.5 + state_.random.unit() / 2));
    }
    co_await wake_.wait_until(until);
  }
}

/// When others are to be looked at, or a beat is due, or would be if there were work by then.
Mono Heartbeat::next_step() const {
  const LeaseKeeper::Next busy = state_.lease->next(state_.clock.mono());
  const Mono beat = busy.action == LeaseKeeper::Action::wait ? busy.until : state_.lease->next(state_.clock.mono(), stretch_).until;
  return std::min(beat, watch_.next_look().value_or(Mono::max()));
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
  note_server(rows.text(0, 1));
  state_.informed = false;
  co_await beat();
}

/// Restarted, restored, or a promoted standby: something may be missing there that was here.
void Heartbeat::note_server(std::string_view started) {
  if (server_ == started) return;
  server_ = started;
  state_.database_clock.forget();
  events_.new_server();
}

struct Heartbeat::Seen {
  std::vector<NodeBeat> beats;   ///< of other nodes
  std::set<std::string> served;  ///< queues, by any node
  std::set<std::string, std::less<>> paused;
  std::string pauses;
  std::string adopted;
  std::string server;
  std::optional<std::int64_t> clock_us;
  std::set<std::string, std::less<>> leader_tables;
  bool leader = false;
  bool overdue = false;
  std::set<std::string, std::less<>> limited;  ///< queues
  bool limits = false;
  bool cancels = false;
  bool commands = false;

  void note(const Rows& rows, std::size_t i, std::int64_t own_id) {
    if (!rows.is_null(i, 0)) {
      note_node(rows, i, own_id);
      return;
    }
    const std::string_view what = rows.text(i, 5);
    const std::string text(rows.is_null(i, 6) ? "" : rows.text(i, 6));
    if (what == "paused") paused.insert(text);
    if (what == "pauses") pauses = text;
    if (what == "adopted") adopted = text;
    if (what == "server") server = text;
    if (what == "clock") clock_us = rows.integer(i, 6);
    if (what == "leader") leader_tables = set_of(text);
    leader = leader || what == "leader";
    overdue = overdue || what == "overdue";
    if (what == "limits" && !rows.is_null(i, 6)) limited.insert(text);
    limits = limits || what == "limits";
    cancels = cancels || what == "cancels";
    commands = commands || what == "commands";
  }

  void note_node(const Rows& rows, std::size_t i, std::int64_t own_id) {
    const NodeBeat beat = beat_of(rows, i);
    for (const std::string& queue : split_array(rows.text(i, 4))) served.insert(queue);
    if (beat.node_id != own_id) beats.push_back(beat);
  }
};

asio::awaitable<void> Heartbeat::beat() {
  const bool held = state_.holds_lease();
  const std::uint64_t told = state_.limits_told;
  const Mono sent = state_.clock.mono();
  state_.lease->sent(sent);
  beat_due_ = false;
  stretch_ = 1.5 + state_.random.unit() / 2;
  Params params;
  params.add(state_.identity.node_id).add(state_.identity.epoch).add(told_of(state_.troubles.lasting(sent)));
  Rows rows;
  try {
    rows = co_await state_.db.query(sql::node_beat, std::move(params));
  } catch (const Error&) {
    count(NodeMetrics::Renewal::error);
    throw;
  }
  const Mono received = state_.clock.mono();
  Seen seen;
  for (std::size_t i = 0; i < rows.size(); ++i) seen.note(rows, i, state_.identity.node_id);
  if (seen.server.empty()) {
    declared_dead();
    co_return;
  }
  state_.lease->acknowledged(sent);
  count(NodeMetrics::Renewal::ok);
  events_.held(state_.lease->children_end_at());
  note_server(seen.server);
  if (seen.clock_us) state_.database_clock.told(sent, received, *seen.clock_us);
  state_.leader_present = seen.leader;
  state_.leader_tables = std::move(seen.leader_tables);
  if (seen.overdue) events_.overdue();
  events_.beaten();
  know_settings(seen, told);
  know_fleet(seen.beats.size(), std::move(seen.served));
  const std::int64_t started = state_.statistics.total(Statistics::Count::started);
  if (policies_.due(state_.clock.mono(), started, state_.hears)) co_await reread_policies(started);
  const bool first = !std::exchange(state_.informed, true);
  if ((first || !held) && state_.holds_lease()) events_.may_claim();
  co_await watch_others(sent, seen.beats);
  co_await keep_lease();
  co_await reread_tables(seen.adopted);
  co_await keep_lease();
  co_await write_statistics();
}

/// What follows a beat is many round trips, behind whatever else the pool has to do: with a database far away it takes
/// longer than the next beat can wait.
asio::awaitable<void> Heartbeat::keep_lease() {
  const bool ours = state_.identity.node_id != 0;
  if (ours && state_.lease->next(state_.clock.mono()).action != LeaseKeeper::Action::wait) co_await renew();
}

/// The lease alone, where the server has refused the rest of a beat: that asks a dozen small tables, and one of them that
/// somebody keeps locked (VACUUM FULL, a change of it that waits behind a backup) is no reason to stop what runs.
asio::awaitable<void> Heartbeat::renew() {
  const bool held = state_.holds_lease();
  const Mono sent = state_.clock.mono();
  state_.lease->sent(sent);
  Params params;
  params.add(state_.identity.node_id).add(state_.identity.epoch);
  try {
    const Rows rows = co_await state_.db.query(sql::node_renew, std::move(params));
    if (rows.empty()) {
      declared_dead();
      co_return;
    }
  } catch (const Error& e) {  // the beat has been told of
    state_.log.debug(event::kLeaseStopping, {{"code", e.code()}}, e.what());
    count(NodeMetrics::Renewal::error);
    co_return;
  }
  state_.lease->acknowledged(sent);
  count(NodeMetrics::Renewal::ok);
  events_.held(state_.lease->children_end_at());
  if (!held && state_.may_claim()) events_.may_claim();
}

asio::awaitable<void> Heartbeat::look() {
  const Mono sent = state_.clock.mono();
  Params params;
  params.add(state_.identity.node_id);
  const Rows rows = co_await state_.db.query(sql::node_look, std::move(params));
  std::vector<NodeBeat> beats;
  for (std::size_t i = 0; i < rows.size(); ++i) beats.push_back(beat_of(rows, i));
  if (!rows.empty()) {
    state_.leader_present = !rows.is_null(0, 4);
    state_.leader_tables = set_of(rows.text(0, 4));
    events_.beaten();
  }
  co_await watch_others(sent, beats);
}

asio::awaitable<void> Heartbeat::reread_tables(const std::string& adopted) {
  bool more = false;
  try {
    more = co_await adopted_.reread(adopted);
  } catch (const Error& e) {  // the tables of others are no reason to miss a heartbeat
    state_.log.debug(event::kTableHeld, {{"code", e.code()}}, e.what());
  }
  if (more) events_.may_claim();
}

/// Nothing here would be lost with the lease, and whatever beats tell is announced as well.
bool Heartbeat::at_rest() const {
  const auto holds = [](const auto& table) { return table->ledger.held() > 0; };
  return state_.hears && state_.running.size() == 0 && std::none_of(state_.tables.begin(), state_.tables.end(), holds);
}

void Heartbeat::count(NodeMetrics::Renewal result) {
  if (state_.metrics != nullptr) state_.metrics->renewed(result);
}

void Heartbeat::declared_dead() {
  count(NodeMetrics::Renewal::lost);
  state_.log.error(event::kLeaseLost, {{"node_id", state_.identity.node_id}},
                   "this node was declared dead by another: stopping its jobs, registering anew");
  state_.identity = NodeIdentity{};
  for (const auto& table : state_.tables) table->ledger.abandon();
  state_.running.stop_all(StopReason::lease);
  events_.lease_over();
}

asio::awaitable<void> Heartbeat::watch_others(Mono asked, const std::vector<NodeBeat>& beats) {
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
  const bool more_serve = others > state_.others;
  const bool served_more = state_.others_serve_more;
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
  if (more_serve || state_.others_serve_more != served_more) events_.fleet();
}

void Heartbeat::know_settings(const Seen& seen, std::uint64_t limits_told) {
  const bool told_since = limits_told != state_.limits_told;  // then this answer knows less
  const bool changed = seen.paused != state_.paused || (!told_since && seen.limited != state_.limited_queues);
  if (!told_since) {
    state_.limits = seen.limits;
    state_.limited_queues = seen.limited;
  }
  state_.paused = seen.paused;
  if (changed) events_.may_claim();
  // All of these are announced; this is for announcements that were missed.
  if (std::exchange(pauses_, seen.pauses) != seen.pauses) events_.pauses();
  if (seen.cancels) events_.cancels();
  if (seen.commands) events_.commands();
}

asio::awaitable<void> Heartbeat::reread_policies(std::int64_t started) {
  policies_.read(state_.clock.mono(), started);
  try {
    const Rows types = co_await state_.db.query(sql::node_job_types, Params{});
    co_await keep_lease();
    const Rows rules = co_await state_.db.query(sql::node_retry_rules, Params{});
    state_.job_types.load(types, rules);
    co_await keep_lease();
    const Rows ports = co_await state_.db.query(sql::node_ports, Params{});
    for (const std::string& fault : state_.ports.load(ports)) {
      state_.log.error(event::kPortMismatch, {}, fault + ": the ports of before stay in use");
    }
    state_.worked("policies", "");
  } catch (const Error& e) {
    policies_changed();  // for all that is known, and the next beat is the next chance
    if (!state_.informed) throw;
    state_.failed("policies", "", event::kLeaseStopping, e);  // those of before hold
  }
}

asio::awaitable<void> Heartbeat::write_statistics() {
  if (state_.statistics.empty() || state_.identity.node_id == 0) co_return;
  const Statistics::Buckets buckets = state_.statistics.take();
  try {
    co_await state_.db.query(sql::node_add_stats, Statistics::params(state_.identity.node_id, buckets));
  } catch (const Error& e) {
    // Counted twice is worse than counted late, but an unknown outcome is neither known nor frequent.
    const auto* db = dynamic_cast<const DbError*>(&e);
    if (db == nullptr || !db->outcome_unknown()) state_.statistics.restore(buckets);
  }
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
