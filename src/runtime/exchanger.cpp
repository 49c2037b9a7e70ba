#include "runtime/exchanger.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/event.hpp"
#include "queue/statement_size.hpp"
#include "runtime/table_door.hpp"
#include <rowcrew/fault.hpp>

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
/// Below this a second round trip costs more than it saves.
constexpr std::size_t kWorthALane = 64;
constexpr auto kLeastRest = 1ms;
/// Ends do not wait longer for the first lane, which carries a claim that takes its time.
constexpr auto kLate = 20ms;
constexpr auto kCrowded = 30s;
constexpr auto kCrowdLineEvery = 1min;
constexpr std::string_view kLocked = "55P03";
constexpr auto kAround = 2s;  // who held a row may hold it still: each claim that meets it waits for lock_timeout
}  // namespace

struct Exchanger::Load {
  std::size_t table = 0;
  std::unique_ptr<Completer::Batch> batch;
  std::unique_ptr<ClaimPlan> plan;
  Freed freed;  ///< how many jobs of which queues give permits back with these ends
  explicit operator bool() const { return (batch && batch->size() > 0) || plan; }
};

class Exchanger::Lane final : public Service {
 public:
  Lane(Exchanger& exchanger, std::unique_ptr<Wire> wire, std::size_t number)
      : exchanger_(exchanger), wire_(std::move(wire)), number_(number), name_("lane" + std::to_string(number)),
        wake_(exchanger.state_.executor, exchanger.state_.clock) {}

  std::string_view name() const override { return name_; }
  asio::awaitable<void> run() override;

  bool idle() const { return waiting_; }
  bool first() const { return number_ == 0; }
  /// It knows when ends will have waited for the first lane for too long.
  bool watches() const { return watches_; }
  Mono sent() const { return sent_; }
  void ring() { wake_.ring(); }

 private:
  asio::awaitable<void> carry();
  void hand_over(Exchange& what) const;
  asio::awaitable<void> send_ends(std::optional<DbError>& error);
  asio::awaitable<void> claim_around();
  void give_back();
  asio::awaitable<Exchanged> send(std::size_t table, Exchange what, std::optional<DbError>& error);

  Exchanger& exchanger_;
  std::unique_ptr<Wire> wire_;
  std::size_t number_;
  std::string name_;
  Wake wake_;
  Load load_;  ///< what is on its way
  bool waiting_ = false;
  bool watches_ = false;
  Mono sent_{};
};

Exchanger::Exchanger(NodeState& state, Claimer& claimer, Completer& completer, std::vector<std::unique_ptr<Wire>> wires)
    : state_(state), claimer_(claimer), completer_(completer) {
  for (auto& wire : wires) lanes_.push_back(std::make_unique<Lane>(*this, std::move(wire), lanes_.size()));
}

Exchanger::~Exchanger() = default;

std::vector<Service*> Exchanger::lanes() {
  std::vector<Service*> all;
  for (const auto& lane : lanes_) all.push_back(lane.get());
  return all;
}

void Exchanger::crowded_out(const DbError& error) {
  const Mono now = state_.clock.mono();
  crowded_until_ = now + kCrowded;
  state_.crowded();
  if (now < next_crowd_line_) return;
  next_crowd_line_ = now + kCrowdLineEvery;
  state_.log.warning(event::kDbCrowded, {{"lanes", lanes_.size()}}, error.what());
}

bool Exchanger::enough_for_two() const {
  const Mono now = state_.clock.mono();
  if (now < crowded_until_) return false;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (completer_.waiting(table) >= kWorthALane) return true;
    // What was announced while a lane is on its way would wait for its return.
    if (claimer_.due(table) <= now) return true;
  }
  return late_at() <= now;
}

/// When ends that wait will have waited for the first lane for too long.
Mono Exchanger::late_at() const {
  if (lanes_.front()->idle() || state_.clock.mono() < std::max(completer_.not_before(), crowded_until_)) return Mono::max();
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (completer_.waiting(table) > 0 && !state_.tables[table]->broken()) return lanes_.front()->sent() + kLate;
  }
  return Mono::max();
}

void Exchanger::ring() {
  for (const auto& lane : lanes_) {
    if (!lane->idle()) continue;
    if (lane->first() || enough_for_two() || (!lane->watches() && late_at() != Mono::max())) lane->ring();
    return;
  }
}

/// Of the tables in turn the first that has something.
Exchanger::Load Exchanger::gather(Lane& lane) {
  Load load;
  if (!lane.first() && !enough_for_two()) return load;
  const Mono now = state_.clock.mono();
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    const std::size_t table = (next_table_ + i) % state_.tables.size();
    const bool ends = !state_.tables[table]->broken() && completer_.waiting(table) > 0 && completer_.not_before() <= now;
    if (!ends && claimer_.due(table) > now) continue;
    next_table_ = (table + 1) % state_.tables.size();
    load.table = table;
    load.batch = completer_.take(table);
    load.freed = completer_.freed_by(*load.batch);
    load.plan = claimer_.plan(table, load.freed);
    return load;
  }
  return load;
}

Mono Exchanger::next_due() const {
  Mono due = state_.clock.mono() + 1h;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    due = std::min(due, claimer_.due(table));
    if (completer_.waiting(table) > 0 && !state_.tables[table]->broken()) due = std::min(due, completer_.not_before());
  }
  return due;
}

asio::awaitable<void> Exchanger::Lane::run() {
  give_back();  // what was on its way when this service failed
  for (;;) {
    load_ = exchanger_.gather(*this);
    sent_ = exchanger_.state_.clock.mono();
    if (load_) {
      co_await carry();
      // The first one waits for what was due before this answer.
      if (!first()) exchanger_.lanes_.front()->ring();
      continue;
    }
    waiting_ = true;
    // A moment at least: were something due that nobody then asks for, this would never let go of the thread.
    const Mono now = exchanger_.state_.clock.mono();
    const Mono late = exchanger_.late_at();
    watches_ = !first() && late != Mono::max();
    const Mono until = std::max(first() ? exchanger_.next_due() : std::min(late, now + 1h), now + kLeastRest);
    co_await wake_.wait_until(until);
    waiting_ = watches_ = false;
  }
}

void Exchanger::Lane::give_back() {
  waiting_ = false;
  const DbError unknown(ErrorClass::transient, "", "the lane failed", true, true);
  if (load_.batch) exchanger_.completer_.refused(std::move(load_.batch), unknown);
  if (load_.plan) exchanger_.claimer_.refused(std::move(load_.plan), unknown);
}

asio::awaitable<Exchanged> Exchanger::Lane::send(std::size_t table, Exchange what, std::optional<DbError>& error) {
  Exchanged done;
  try {
    done = co_await exchanger_.state_.tables[table]->table.exchange(*wire_, std::move(what));
  } catch (const DbError& e) {
    error = e;
    if (e.connection_lost() && e.sqlstate() == kTooManyConnections) exchanger_.crowded_out(e);
    exchanger_.state_.tables[table]->door.refused(e);
  } catch (const TransientError& e) {  // nothing was sent
    error = DbError(ErrorClass::transient, "", e.what(), true, false);
  }
  co_return done;
}

asio::awaitable<void> Exchanger::Lane::carry() {
  Exchange what;
  exchanger_.completer_.add_to(what, *load_.batch);
  if (load_.plan) {
    what.token = load_.plan->token;
    what.node = load_.plan->node;
    what.wants = load_.plan->wants;
    what.limited = load_.plan->limited;
    what.limited_tokens = load_.plan->limited_tokens;
    what.around = exchanger_.state_.clock.mono() < exchanger_.around_until_;
    if (!what.limited.empty()) hand_over(what);
  }
  const bool ends = load_.batch->size() > 0;
  const bool claims = load_.plan != nullptr;
  const bool fused = what.fused();
  std::optional<DbError> error;
  if (ends) ROWCREW_FAULT_POINT("finish.sending");
  exchanger_.ring();  // another lane may take what this one leaves
  Exchanged done = co_await send(load_.table, std::move(what), error);
  if (!error) {
    if (ends) ROWCREW_FAULT_POINT("finish.committed");
    if (claims) ROWCREW_FAULT_POINT("claim.committed");
    exchanger_.completer_.written(std::move(load_.batch), done);
    for (const auto& [queue, jobs] : load_.freed) {
      const auto again = std::count_if(done.limited.begin(), done.limited.end(), [&queue = queue](const ClaimedJob& job) { return job.job.queue == queue; });
      if (std::cmp_less(again, jobs)) exchanger_.claimer_.permits_freed(load_.table, queue);
    }
    if (claims) exchanger_.claimer_.answered(std::move(load_.plan), std::move(done));
    co_return;
  }
  if (error->sqlstate() == kLocked) exchanger_.around_until_ = exchanger_.state_.clock.mono() + kAround;
  // One part was refused and took the others along: each by itself.
  if (fused && !error->connection_lost()) {
    const DbError first = *std::exchange(error, std::nullopt);
    if (ends) co_await send_ends(error);
    if (claims && tells_of_overdue(first)) {  // the same claim would be too long once more
      exchanger_.claimer_.refused(std::move(load_.plan), first);
    } else if (claims) {
      co_await claim_around();
    }
  } else if (claims && (error->sqlstate() == kLocked || (!load_.plan->limited.empty() && tells_of_a_row(*error)))) {
    co_await claim_around();
  }
  if (load_.batch && error) exchanger_.completer_.refused(std::move(load_.batch), *error);
  if (load_.batch) exchanger_.completer_.written(std::move(load_.batch), done);
  if (load_.plan) exchanger_.claimer_.refused(std::move(load_.plan), *error);
}

/// Claims that end here and whose jobs hold permits are left to the claim that follows.
void Exchanger::Lane::hand_over(Exchange& what) const {
  const ClaimLedger& ledger = exchanger_.state_.tables[load_.table]->ledger;
  for (std::vector<std::int64_t>* drop : {&what.completed_drop, &what.ended_drop}) {
    const auto kept = std::stable_partition(drop->begin(), drop->end(), [&](std::int64_t token) { return !ledger.has_permits(token); });
    what.handed.insert(what.handed.end(), kept, drop->end());
    drop->erase(kept, drop->end());
  }
}

asio::awaitable<void> Exchanger::Lane::send_ends(std::optional<DbError>& error) {
  Exchange what;
  exchanger_.completer_.add_to(what, *load_.batch);
  const Exchanged done = co_await send(load_.table, std::move(what), error);
  if (!error) exchanger_.completer_.written(std::move(load_.batch), done);
}

/// In the forms that step around rows which somebody holds locked (55P03), and those of limited jobs also around rows that are refused.
asio::awaitable<void> Exchanger::Lane::claim_around() {
  TableState& table = *exchanger_.state_.tables[load_.table];
  ClaimPlan& plan = *load_.plan;
  Exchanged done;
  std::optional<DbError> error;
  if (!plan.limited.empty()) {
    Exchange what;
    what.node = plan.node;
    what.limited = plan.limited;
    what.limited_tokens = plan.limited_tokens;
    what.around = true;
    done = co_await send(load_.table, std::move(what), error);
    for (const Unclaimable& job : done.unclaimable) {
      exchanger_.state_.log.error(event::kJobUnclaimable, {{"table", table.table.name()}, {"job", table.table.label(job.id)}, {"queue", job.queue}}, job.error);
    }
  }
  if (!error && !plan.wants.empty()) {
    table.ledger.unknown(plan.token);
    plan.token = exchanger_.state_.new_token();
    table.ledger.sending(plan.token);
    try {
      done.claimed = co_await table.table.claim_unlocked(plan.token, plan.node, plan.wants, &done.taken);
    } catch (const DbError& e) {
      error = e;
    } catch (const TransientError& e) {
      error = DbError(ErrorClass::transient, "", e.what(), true, false);
    }
  }
  if (error && !done.answers.empty()) {  // the limited ones are here, the others are not
    auto others = std::make_unique<ClaimPlan>(plan);
    others->limited.clear();
    others->limited_tokens.clear();
    plan.wants.clear();
    exchanger_.claimer_.refused(std::move(others), *error);
    error.reset();
  }
  if (error) {
    exchanger_.claimer_.refused(std::move(load_.plan), *error);
  } else {
    exchanger_.claimer_.answered(std::move(load_.plan), std::move(done));
  }
}

}  // namespace rowcrew
