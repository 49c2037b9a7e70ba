#include "runtime/completer.hpp"

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/event.hpp"
#include "queue/ended_report.hpp"
#include "queue/refusal_search.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
constexpr auto kBetweenTidying = 100ms;
constexpr std::size_t kManyRows = 100;

std::string_view event_of(Ending::Kind kind) {
  switch (kind) {
    case Ending::Kind::completed: return event::kJobCompleted;
    case Ending::Kind::retry: return event::kJobRetry;
    case Ending::Kind::snooze: return event::kJobSnoozed;
    case Ending::Kind::failed: return event::kJobFailed;
    case Ending::Kind::cancelled: return event::kJobCancelled;
    case Ending::Kind::released: return event::kJobReleased;
  }
  return event::kJobCompleted;
}

}  // namespace

Completer::Completer(NodeState& state)
    : state_(state), buffers_(kMostTables), wake_(state.executor, state.clock), written_(state.executor, state.clock) {}

void Completer::add(std::size_t table, EndedJob ended) {
  Item item;
  item.ended = std::move(ended);
  file(table, std::move(item));
}

void Completer::file(std::size_t table, Item item) {
  Buffer& buffer = buffers_[table];
  if (port_of(item)) {
    buffer.reported.push_back(std::move(item));
    wake_.ring();
    return;
  }
  const bool completed = item.ended.ending.kind == Ending::Kind::completed;
  (completed ? buffer.completed : buffer.ended).push_back(std::move(item));
  if (batch_waits_) batch_waits_();
}

void Completer::settled(std::size_t table, const EndedJob& ended, bool ours) {
  if (ours) {
    report(table, ended);
  } else {
    report_lost(table, ended);
  }
  forget(table, ended.job);
}

void Completer::forget(std::size_t table, const Job& job) {
  state_.tables[table]->ledger.ended(job.claim_token, 1, false);
  wake_.ring();
}

std::size_t Completer::waiting(std::size_t table) const {
  return buffers_[table].completed.size() + buffers_[table].ended.size();
}

std::size_t Completer::pending() const {
  std::size_t n = doubtful_.size();
  for (const Buffer& b : buffers_) n += b.completed.size() + b.ended.size() + b.reported.size() + b.reporting.size() + b.on_the_way;
  return n + aside();
}

std::size_t Completer::aside() const {
  std::size_t n = 0;
  for (const Buffer& b : buffers_) n += b.aside.size();
  return n;
}

bool Completer::holds(std::size_t table, std::int64_t token) const {
  const auto of_token = [token](const Item& item) { return item.ended.job.claim_token == token; };
  const Buffer& b = buffers_[table];
  const bool sending = std::any_of(batches_.begin(), batches_.end(), [&](const Batch* batch) {
    return batch->table == table && (std::any_of(batch->completed.begin(), batch->completed.end(), of_token) ||
                                     std::any_of(batch->ended.begin(), batch->ended.end(), of_token));
  });
  return sending || std::any_of(b.completed.begin(), b.completed.end(), of_token) ||
         std::any_of(b.ended.begin(), b.ended.end(), of_token) ||
         std::any_of(b.reported.begin(), b.reported.end(), of_token) ||
         std::any_of(b.reporting.begin(), b.reporting.end(), of_token) ||
         std::any_of(b.aside.begin(), b.aside.end(), [&](const auto& waits) { return of_token(waits.second); });
}

asio::awaitable<bool> Completer::drain(Mono until) {
  try_aside(true);
  draining_ = true;
  wake_.ring();
  while ((pending() > aside() || has_tidying()) && state_.clock.mono() < until) co_await written_.wait_until(until);
  co_return pending() == 0;
}

std::unique_ptr<Completer::Batch> Completer::take(std::size_t table) {
  Buffer& buffer = buffers_[table];
  auto batch = std::make_unique<Batch>();
  batch->table = table;
  batch->sent = state_.clock.mono();
  if (batch->sent < not_before_) return batch;
  if (buffer.batch_limit == 1) {  // one in all: what is refused then is its own doing
    buffer.ended_first = !buffer.ended_first;
    if (buffer.ended_first) batch->ended = take_front(buffer.ended, 1);
    if (batch->ended.empty()) batch->completed = take_front(buffer.completed, 1);
    if (batch->size() == 0) batch->ended = take_front(buffer.ended, 1);
  } else {
    const std::size_t most = std::min(buffer.batch_limit, buffer.size.most());
    batch->completed = take_front(buffer.completed, most);
    batch->ended = take_front(buffer.ended, most);
  }
  const ClaimLedger& ledger = state_.tables[table]->ledger;
  const auto dropped = [&](const std::vector<Item>& items) {
    std::map<std::int64_t, std::size_t> per_token;
    for (const Item& item : items) ++per_token[item.ended.job.claim_token];
    return ledger.ending_with(per_token);
  };
  batch->completed_drop = dropped(batch->completed);
  batch->ended_drop = dropped(batch->ended);
  if (ledger.any_permits()) {
    std::map<std::int64_t, std::size_t> ending;
    for (const auto* items : {&batch->completed, &batch->ended}) {
      for (const Item& item : *items) ++ending[item.ended.job.claim_token];
    }
    batch->lowered = ledger.to_lower(ending);
  }
  buffer.on_the_way += batch->size();
  if (batch->size() > 0) batches_.insert(batch.get());  // an empty one may be let go of
  return batch;
}

void Completer::add_to(Exchange& exchange, const Batch& batch) const {
  for (const Item& item : batch.completed) exchange.completed.push_back(&item.ended);
  for (const Item& item : batch.ended) exchange.ended.push_back(&item.ended);
  exchange.completed_drop = batch.completed_drop;
  exchange.ended_drop = batch.ended_drop;
  exchange.lowered = batch.lowered;
  exchange.node = state_.identity;
}

Freed Completer::freed_by(const Batch& batch) const {
  Freed queues;
  const ClaimLedger& ledger = state_.tables[batch.table]->ledger;
  if (!ledger.any_permits()) return queues;
  for (const auto* items : {&batch.completed, &batch.ended}) {
    for (const Item& item : *items) {
      if (ledger.has_permits(item.ended.job.claim_token)) ++queues[item.ended.job.queue];
    }
  }
  return queues;
}

void Completer::leave(const Batch& batch) {
  batches_.erase(&batch);
  buffers_[batch.table].on_the_way -= batch.size();
}

void Completer::written(std::unique_ptr<Batch> batch, const Exchanged& done) {
  leave(*batch);
  Buffer& buffer = buffers_[batch->table];
  if (batch->size() > 0) state_.worked("ends", state_.tables[batch->table]->table.name());
  failures_ = 0;
  not_before_ = Mono{};
  buffer.batch_limit = std::min(kMaxBatch, buffer.batch_limit * 2);
  if (batch->size() > 0) buffer.size.answered(state_.clock.mono() - batch->sent);
  state_.tables[batch->table]->ledger.lowered(batch->lowered);
  settle(batch->table, std::move(batch->completed), done.completed, done.cancelled, batch->completed_drop);
  settle(batch->table, std::move(batch->ended), done.ended, done.cancelled, batch->ended_drop);
  written_.ring();
  if (has_tidying(batch->table)) wake_.ring();
}

void Completer::refused(std::unique_ptr<Batch> batch, const DbError& error) {
  leave(*batch);
  if (batch->size() == 0) return;
  const bool broken = state_.tables[batch->table]->broken();
  const bool alone = batch->size() == 1 && !error.connection_lost() && (error.error_class() != ErrorClass::transient || tells_of_held_row(error));
  if (!broken) state_.failed("ends", state_.tables[batch->table]->table.name(), event::kClaimFailed, error);
  if (tells_of_overdue(error)) {
    buffers_[batch->table].size.overdue(std::max(batch->completed.size(), batch->ended.size()), state_.clock.mono() - batch->sent);
  }
  put_back(batch->table, buffers_[batch->table].completed, std::move(batch->completed), error, false);
  put_back(batch->table, buffers_[batch->table].ended, std::move(batch->ended), error, false);
  if (broken || alone) return;  // no reason to make other tables wait, or other ends
  const auto ceiling = std::min<std::chrono::milliseconds>(5s, 50ms * (1 << std::min(failures_, 7)));
  not_before_ = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(ceiling * (0.5 + state_.random.unit() / 2));
}

asio::awaitable<void> Completer::run() {
  // A restart after a failure finds what was being sent.
  for (std::size_t table = 0; table < buffers_.size(); ++table) {
    std::vector<Item> sent = std::exchange(buffers_[table].reporting, {});
    for (Item& item : sent) {
      item.maybe_written = true;
      file(table, std::move(item));
    }
  }
  for (;;) {
    bool worked = false;
    int failed = 0;
    try_aside(false);
    for (std::size_t table = 0; table < state_.tables.size(); ++table) {
      if (state_.tables[table]->gone) give_up(table);
      if (state_.tables[table]->broken()) continue;  // kept until it is mended
      if (has_tidying(table) && tidying_due(table) <= state_.clock.mono()) failed += co_await tidy_claims(table);
      if (!can_report(table)) continue;
      const bool reported = co_await report_some(table);
      worked = worked || reported;
      if (!reported) ++failed;
    }
    if (!doubtful_.empty()) co_await verify_doubtful();
    written_.ring();
    reporting_failures_ = failed > 0 ? reporting_failures_ + 1 : 0;
    if (failed > 0) {
      const auto ceiling = std::min<std::chrono::milliseconds>(5s, 50ms * (1 << std::min(reporting_failures_, 7)));
      const auto pause = std::chrono::duration_cast<MonoClock::duration>(ceiling * (0.5 + state_.random.unit() / 2));
      co_await state_.clock.sleep_until(state_.clock.mono() + pause);
    } else if (!worked) {
      co_await wake_.wait_until(next_tidying());
    }
  }
}

void Completer::put_back(std::size_t table, WideDeque<Item>& queue, std::vector<Item> batch, const DbError& error, bool by_port) {
  if (batch.empty()) return;
  Buffer& buffer = buffers_[table];
  if (state_.tables[table]->broken()) {
    for (auto item = batch.rbegin(); item != batch.rend(); ++item) queue.push_front(std::move(*item));
    return;
  }
  const bool refused = !error.connection_lost();
  if (refused && batch.size() == 1 && error.error_class() != ErrorClass::transient) {
    if (by_port) {
      port_refused(table, std::move(batch.front()), error);
    } else {
      row_refused(table, std::move(batch.front()), error);
    }
    return;
  }
  if (refused && batch.size() == 1 && tells_of_held_row(error) && !draining_) {
    held_up(table, std::move(batch.front()));
    return;
  }
  ++failures_;
  // A row that somebody holds locked, or one that is refused, must not hold up its neighbours.
  if (refused && &queue == &buffer.reported) {
    buffer.report_batch.refused();
  } else if (refused && !tells_of_overdue(error)) {  // else there were only too many
    buffer.batch_limit = 1;
  }
  for (auto item = batch.rbegin(); item != batch.rend(); ++item) {
    if (error.outcome_unknown()) item->maybe_written = true;
    if (refused && batch.size() == 1) {
      queue.push_back(std::move(*item));
    } else {
      queue.push_front(std::move(*item));
    }
  }
}

void Completer::settle(std::size_t table, std::vector<Item> batch, const std::vector<std::string>& written,
                       const std::vector<std::string>& cancelled, const std::vector<std::int64_t>& dropped) {
  const bool all_ours = written.size() == batch.size();
  std::unordered_set<std::string> ours;
  if (!all_ours) ours.insert(written.begin(), written.end());
  const std::unordered_set<std::string> overtaken(cancelled.begin(), cancelled.end());
  ClaimLedger& ledger = state_.tables[table]->ledger;
  for (Item& item : batch) {
    const std::int64_t token = item.ended.job.claim_token;
    ledger.ended(token, 1, std::binary_search(dropped.begin(), dropped.end(), token));
    if (item.held > 0) release_held(table);
    if (all_ours || ours.contains(item.ended.job.id)) {
      if (overtaken.contains(item.ended.job.id)) item.ended = as_cancelled(item.ended);
      report(table, item.ended);
      if (item.ended.ending.delay > 0ms && parked_) parked_(item.ended);
    } else if (item.maybe_written) {
      doubtful_.emplace_back(table, std::move(item.ended));
      wake_.ring();
    } else {
      report_lost(table, item.ended);
    }
  }
  if (told_written_) told_written_();
}

/// Written once already, and the answer lost? Nothing depends on it but the count: the rows are right
/// either way.
asio::awaitable<void> Completer::verify_doubtful() {
  std::vector<std::pair<std::size_t, EndedJob>> all = std::exchange(doubtful_, {});
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    std::vector<EndedJob> jobs;
    for (const auto& [of, ended] : all) {
      if (of == table) jobs.push_back(ended);
    }
    if (jobs.empty()) continue;
    std::vector<std::string> verified;
    try {
      verified = co_await state_.tables[table]->table.finish_verify(jobs);
    } catch (const Error& e) {
      state_.log.debug(event::kClaimFailed, {}, e.what());
    }
    const std::unordered_set<std::string> certain(verified.begin(), verified.end());
    for (const EndedJob& ended : jobs) {
      if (certain.contains(ended.job.id)) {
        report(table, ended);
      } else {
        report_lost(table, ended);
      }
    }
  }
}

void Completer::report(std::size_t table, const EndedJob& ended) {
  state_.statistics.ended(state_.minute(), state_.tables[table]->table.name(), ended.job.job_type,
                          ended.ending.kind, ended.duration_ms);
  if (state_.metrics != nullptr) state_.metrics->finished(ended.job.queue, ended.job.job_type, ended.ending.kind);
  const bool bad = ended.ending.kind == Ending::Kind::failed;
  const LogLevel level = bad ? LogLevel::warning : LogLevel::info;
  if (!state_.log.enabled(level)) return;
  std::vector<LogField> fields;
  fields.emplace_back("job", state_.tables[table]->table.label(ended.job.id));
  fields.emplace_back("job_type", ended.job.job_type);
  fields.emplace_back("attempt", ended.job.attempt);
  fields.emplace_back("queue", ended.job.queue);
  fields.emplace_back("took_ms", ended.duration_ms);
  if (!ended.ending.code.empty()) fields.emplace_back("code", ended.ending.code);
  if (ended.ending.delay > 0ms) fields.emplace_back("after_ms", ended.ending.delay.count());
  state_.log.write(level, event_of(ended.ending.kind), fields, ended.ending.message);
}

void Completer::report_lost(std::size_t table, const EndedJob& ended) {
  state_.statistics.add(state_.minute(), state_.tables[table]->table.name(), ended.job.job_type,
                        Statistics::Count::claim_lost);
  if (state_.metrics != nullptr) state_.metrics->finished(ended.job.queue, ended.job.job_type, NodeMetrics::Outcome::claim_lost);
  state_.log.warning(event::kJobClaimLost, {{"job", state_.tables[table]->table.label(ended.job.id)}, {"job_type", ended.job.job_type}},
                     "the row is no longer under this claim; the result was refused and dropped");
}

void Completer::tables_changed() {
  wake_.ring();
  if (batch_waits_) batch_waits_();
}

/// The table is not ours to write any more: its companions are gone, and with them every claim.
void Completer::give_up(std::size_t table) {
  Buffer& buffer = buffers_[table];
  for (WideDeque<Item>* queue : {&buffer.completed, &buffer.ended, &buffer.reported}) {
    for (const Item& item : *queue) report_lost(table, item.ended);
    queue->clear();
  }
  for (const auto& [when, item] : buffer.aside) report_lost(table, item.ended);
  buffer.aside.clear();
  state_.tables[table]->ledger.abandon();
}

bool Completer::has_tidying(std::size_t table) const {
  const ClaimLedger& ledger = state_.tables[table]->ledger;
  return !ledger.removable().empty() || !ledger.to_lower({}).empty();
}

bool Completer::has_tidying() const {
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (!state_.tables[table]->broken() && has_tidying(table)) return true;
  }
  return false;
}

/// An empty row harms nobody for a moment, and one statement removes many. Permits are waited for.
Mono Completer::tidying_due(std::size_t table) const {
  const ClaimLedger& ledger = state_.tables[table]->ledger;
  const bool soon = draining_ || state_.limits || ledger.removable().size() >= kManyRows;
  return soon ? Mono{} : buffers_[table].tidied + kBetweenTidying;
}

Mono Completer::next_tidying() const {
  Mono next = state_.clock.mono() + 1h;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (!state_.tables[table]->broken() && has_tidying(table)) next = std::min(next, tidying_due(table));
    if (!state_.tables[table]->broken() && !buffers_[table].reported.empty()) next = std::min(next, buffers_[table].probe);
    for (const auto& [when, item] : buffers_[table].aside) next = std::min(next, when);
  }
  return next;
}

/// Removes claim rows that no exchange took along, and puts right what others say.
asio::awaitable<int> Completer::tidy_claims(std::size_t table) {
  TableState& state = *state_.tables[table];
  const std::vector<std::int64_t> tokens = state.ledger.removable();
  const std::vector<StillRunning> rows = state.ledger.to_lower({});
  buffers_[table].tidied = state_.clock.mono();
  try {
    if (!tokens.empty()) co_await state.table.drop_claims(tokens, state_.identity.node_id);
    for (const std::int64_t token : tokens) state.ledger.removed(token);
    if (!rows.empty()) co_await state.table.lower_held(rows, state_.identity.node_id);
    state.ledger.lowered(rows);
    state_.worked("claim rows", state.table.name());
  } catch (const Error& e) {
    state_.failed("claim rows", state.table.name(), event::kClaimFailed, e);
    co_return 1;
  }
  if (told_permits_ && state_.limits) told_permits_(table);
  co_return 0;
}

}  // namespace rowcrew
