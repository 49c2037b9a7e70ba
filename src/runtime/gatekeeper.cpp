#include "runtime/gatekeeper.hpp"

#include <algorithm>
#include <string>

#include <rowcrew/error.hpp>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kPulseAwake = 1s;
constexpr auto kWholePulse = 25s;   // at the rarest: each of those that it makes asleep is whole
constexpr int kPulseShare = 100;    // of the time whole pulses take one in so many at most
constexpr auto kPulseForOthers = 100ms;  // awake, where others serve queues that the leader does not look at
constexpr auto kPulseAsleep = 30s;  // a parked job that is due sooner than 40 s notifies
constexpr auto kSpreadEvery = 250ms;  // while claims are filled
constexpr auto kUndrainedPoll = 1s;
constexpr auto kFanOutEvery = 5ms;
constexpr int kSleepTries = 5;
constexpr std::chrono::milliseconds kLeadAgain = 2s;
constexpr std::chrono::milliseconds kLockFreed = 50ms;  // an ended session gives its locks back soon
}  // namespace

Gatekeeper::Gatekeeper(NodeState& state, Claimer& claimer, std::unique_ptr<Wire> wire, Events events)
    : state_(state), claimer_(claimer), wire_(std::move(wire)), events_(std::move(events)), wake_(state.executor, state.clock) {}

void Gatekeeper::notified(std::string_view what) {
  if (!state_.leader) return;  // the leader's business
  if (what == "node") {
    events_.joined();
    return;
  }
  if (what == "parked") {
    pulse_due_ = true;
    wake_.ring();
    return;
  }
  claimer_.wake(what);
  const bool known = std::any_of(state_.tables.begin(), state_.tables.end(), [&](const auto& table) { return table->table.name() == what; });
  if (state_.others > 0 && (!known || claimer_.full() || state_.others_serve_more)) {
    fan_due_ = true;
    wake_.ring();
  }
  if (asleep_ && policy_.notified(state_.clock.mono())) {
    rise_ = true;
    wake_.ring();
  }
}

void Gatekeeper::beaten() {
  if (!active()) return;
  // The lock is gone although we think that we hold it: the session was killed. Or the beat looked before we had it.
  if (state_.leader && !state_.leader_present) abdicate();
  claimer_.follow_leader();
  if (!state_.leader && !state_.leader_present) wake_.ring();
}

void Gatekeeper::fleet_changed() {
  if (!state_.leader) return;
  pulse_due_ = true;
  wake_.ring();
}

void Gatekeeper::settled() {
  next_spread_ = Mono{};
  if (state_.leader && !asleep_) wake_.ring();
}

void Gatekeeper::filled() {
  if (!state_.leader || !asleep_ || state_.others == 0 || spread_due_) return;
  spread_due_ = true;
  wake_.ring();
}

void Gatekeeper::reconnected() {
  claimer_.look_everywhere();
  pulse_due_ = true;
  wake_.ring();
}

void Gatekeeper::abdicate() {
  led_ = led_ || state_.leader;
  state_.leader = false;
  asleep_ = false;
  drained_ = false;
  rise_ = false;
}

asio::awaitable<void> Gatekeeper::run() {
  abdicate();
  for (;;) {
    bool failed = false;
    try {
      if ((state_.stopping || !state_.hears) && !resigned()) {
        co_await give_up();
        if (!state_.stopping) events_.joined();  // the beat tells whether another leads now
      } else if (!active() || !state_.hears || !state_.may_claim() || (!state_.leader && state_.leader_present && !led_)) {
        co_await wake_.wait_until(state_.clock.mono() + 1min);
      } else if (!state_.leader) {
        co_await lead();
      } else if (asleep_) {
        co_await stay_asleep();
      } else {
        co_await stay_awake();
      }
    } catch (const Error& e) {
      state_.failed("leading", "", event::kClaimFailed, e);
      const auto* db = dynamic_cast<const DbError*>(&e);
      if (db != nullptr && db->connection_lost() && db->sqlstate() == kTooManyConnections) state_.crowded();
      failed = true;
    }
    if (!failed) {
      state_.worked("leading", "");
      continue;
    }
    abdicate();
    co_await state_.clock.sleep_until(state_.clock.mono() + 1s);
  }
}

asio::awaitable<Rows> Gatekeeper::answer(const Statement& statement, Params params) {
  std::vector<Call> calls;
  calls.emplace_back(statement, std::move(params));
  std::vector<Rows> answers = co_await wire_->exec(std::move(calls));
  co_return std::move(answers.front());
}

asio::awaitable<bool> Gatekeeper::ask(const Statement& statement) {
  Params none;
  const Rows rows = co_await answer(statement, std::move(none));
  co_return rows.boolean(0, 0);
}

asio::awaitable<void> Gatekeeper::lead() {
  Params whose;
  whose.add(state_.identity.node_id).add_array(state_.config.table_names());
  const Rows rows = co_await answer(sql::gate_lead, std::move(whose));
  led_ = false;
  if (!rows.boolean(0, 0)) {
    if (!rows.is_null(0, 2)) {
      throw TransientError("gate_held", std::string(rows.text(0, 2)) + " holds the advisory lock of the fleet's leader: without one"
                                        " jobs are found by polling, within poll_every");
    }
    const bool ended = rows.boolean(0, 1);
    if (ended) state_.log.warning(event::kGateEnded, {}, "the session that held the gate had fallen silent: ended");
    const std::chrono::milliseconds again = ended ? kLockFreed : kLeadAgain;
    co_await wake_.wait_until(state_.clock.mono() + again);
    co_return;
  }
  state_.leader = true;
  state_.leader_present = true;
  policy_ = SleepPolicy();
  claimer_.follow_leader();
  claimer_.look_everywhere();
  pulse_due_ = true;
  events_.joined();  // one that came since our last heartbeat was announced to no leader
}

/// A node that stops may have long to wait for its jobs, and does nothing for the fleet meanwhile.
asio::awaitable<void> Gatekeeper::give_up() {
  abdicate();
  try {
    Params none;
    co_await answer(sql::gate_resign, std::move(none));
  } catch (const Error& e) {  // the locks go with the session
    state_.log.debug(event::kClaimFailed, {}, e.what());
  }
  led_ = false;
}

/// Nobody notifies: look often, less often each time in vain, then sleep.
asio::awaitable<void> Gatekeeper::stay_awake() {
  const Mono now = state_.clock.mono();
  if (pulse_due_ || now >= next_pulse_) {
    const bool more = co_await pulse();
    if (more && state_.others > 0 && (state_.others_serve_more || claimer_.full())) co_await fan_out();
  }
  if (claimer_.quiet() && policy_.tired()) {
    co_await fall_asleep();
    co_return;
  }
  const bool rung = co_await wake_.wait_until(state_.clock.mono() + policy_.nap());
  if (rung && !fan_due_) co_return;
  if (claimer_.full()) {
    // What comes now may be for others; nobody else looks.
    bool more = false;
    if (state_.others > 0) more = co_await pulse();
    policy_.looked(more);
    if (more) co_await fan_out();
    if (state_.others == 0) co_await wake_.wait_until(state_.clock.mono() + kPulseAwake);
    co_return;
  }
  // A look whose answers are still under way has found nothing yet: were it to count, the next one would come before
  // they do, and so on, where a look takes longer than the first nap.
  policy_.looked(claimer_.found_something());
  claimer_.look_around();
}

asio::awaitable<void> Gatekeeper::fall_asleep() {
  bool taken = false;
  for (int i = 0; i < kSleepTries && !taken; ++i) {
    taken = co_await ask(sql::gate_sleep);
    if (!taken) co_await state_.clock.sleep_until(state_.clock.mono() + 1ms);
  }
  if (!taken) {
    policy_.looked(true);
    co_return;
  }
  asleep_ = true;
  rise_ = false;
  policy_.fell_asleep();
  drained_ = co_await ask(sql::gate_drained);
  // The last look comes after both, in statements of its own: it sees whatever was committed by those
  // who found nobody asleep.
  claimer_.look_everywhere();
  pulse_due_ = true;
}

asio::awaitable<void> Gatekeeper::stay_asleep() {
  const Mono now = state_.clock.mono();
  if (rise_) {
    co_await wake_up();
    co_return;
  }
  if (spread_due_ && now >= next_spread_) {
    spread_due_ = false;
    next_spread_ = now + kSpreadEvery;
    fan_due_ = true;
  }
  if (fan_due_) co_await fan_out();
  if (pulse_due_ || now >= next_pulse_) {
    const bool more = co_await pulse();
    if (more) claimer_.wake();
    if (more && state_.others > 0) co_await fan_out();
  }
  if (!drained_) {
    drained_ = co_await ask(sql::gate_drained);
    if (drained_) {
      claimer_.look_everywhere();
    } else {
      claimer_.wake();  // what the last of them files is looked for everywhere once it has committed
    }
  }
  Mono until = next_pulse_;
  if (!drained_) until = std::min<Mono>(until, state_.clock.mono() + kUndrainedPoll);
  if (fan_due_) until = std::min(until, next_fan_);
  if (spread_due_) until = std::min(until, next_spread_);
  co_await wake_.wait_until(until);
}

asio::awaitable<void> Gatekeeper::wake_up() {
  co_await ask(sql::gate_wake);
  asleep_ = false;
  drained_ = false;
  rise_ = false;
  pulse_due_ = true;  // the next was put off for as long as everything is announced
  claimer_.wake();
}

/// Whether something is due that this node has not taken.
asio::awaitable<bool> Gatekeeper::pulse() {
  pulse_due_ = false;
  const std::chrono::milliseconds awake = state_.others_serve_more ? kPulseForOthers : std::chrono::milliseconds(kPulseAwake);
  next_pulse_ = state_.clock.mono() + (asleep_ ? std::chrono::milliseconds(kPulseAsleep) : awake);
  bool more = false;
  for (std::size_t at = 0; at < state_.tables.size(); ++at) {
    const auto& table = state_.tables[at];
    if (table->broken()) continue;
    const std::vector<std::string> queues = state_.fleet_queues;
    const Mono asked = state_.clock.mono();
    // Under a snapshot a whole one reads all that is dead.
    const bool whole = asked >= next_whole_[at];
    std::vector<std::string> marks;
    if (!whole) marks = claimer_.marks(at, queues);
    const JobTable::Pulse found = co_await table->table.pulse(queues, std::move(marks));
    if (whole) next_whole_[at] = asked + std::min<MonoClock::duration>(kWholePulse, kPulseShare * (state_.clock.mono() - asked));
    if (found.orphans) events_.claims_orphaned();
    if (!table->serving()) continue;
    // It may lie behind the marks. Awake that is for the claimer's sweeps to find: what waits for a permit is ready, too.
    if (asleep_ && whole && found.ready && claimer_.quiet()) claimer_.look_everywhere();
    if (found.next_parked) events_.parked_due(*found.next_parked);
    if (found.survivors) claimer_.look_for_survivors();
    more = more || found.ready || found.survivors;
  }
  co_return more;
}

asio::awaitable<void> Gatekeeper::fan_out() {
  const Mono now = state_.clock.mono();
  if (now < next_fan_) co_return;
  fan_due_ = false;
  next_fan_ = now + kFanOutEvery;
  Params params;
  params.add("");
  co_await state_.db.query(sql::gate_fan_out, std::move(params));
}

}  // namespace rowcrew
