#include "runtime/completer.hpp"

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/event.hpp"
#include "queue/ended_report.hpp"
#include <rowcrew/fault.hpp>

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

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
  wake_.ring();
}

std::optional<Statement> Completer::port_of(const Item& item) const {
  if (item.port_refused || !is_reported(item.ended.ending.kind)) return std::nullopt;
  return state_.ports.ended()->find(item.ended.job.job_type, item.ended.job.app);
}

void Completer::file(std::size_t table, Item item) {
  Buffer& buffer = buffers_[table];
  const bool completed = item.ended.ending.kind == Ending::Kind::completed;
  auto& queue = port_of(item) ? buffer.reported : completed ? buffer.completed : buffer.ended;
  queue.push_back(std::move(item));
}

void Completer::forget(std::size_t table, const Job& job) {
  state_.tables[table]->ledger.ended(job.claim_token, 1, false);
  wake_.ring();
}

std::size_t Completer::pending() const {
  std::size_t n = 0;
  for (const Buffer& b : buffers_) n += b.completed.size() + b.ended.size() + b.reported.size() + b.sending.size();
  return n;
}

bool Completer::holds(std::size_t table, std::int64_t token) const {
  const auto of_token = [token](const Item& item) { return item.ended.job.claim_token == token; };
  const Buffer& b = buffers_[table];
  return std::any_of(b.completed.begin(), b.completed.end(), of_token) ||
         std::any_of(b.ended.begin(), b.ended.end(), of_token) ||
         std::any_of(b.reported.begin(), b.reported.end(), of_token) ||
         std::any_of(b.sending.begin(), b.sending.end(), of_token);
}

asio::awaitable<bool> Completer::drain(Mono until) {
  while (pending() > 0 && state_.clock.mono() < until) co_await written_.wait_until(until);
  co_return pending() == 0;
}

asio::awaitable<void> Completer::run() {
  // A restart after a failure finds what was being sent.
  for (std::size_t table = 0; table < buffers_.size(); ++table) {
    std::vector<Item> sent = std::exchange(buffers_[table].sending, {});
    for (Item& item : sent) {
      item.maybe_written = true;
      file(table, std::move(item));
    }
  }
  for (;;) {
    bool worked = false;
    for (std::size_t table = 0; table < state_.tables.size(); ++table) {
      if (state_.tables[table]->gone) give_up(table);
      if (state_.tables[table]->broken()) continue;  // kept until it is mended
      const bool flushed = co_await flush_table(table);
      worked = worked || flushed;
    }
    written_.ring();
    if (failures_ > 0) {
      const auto ceiling = std::min<std::chrono::milliseconds>(5s, 50ms * (1 << std::min(failures_, 7)));
      const auto pause = std::chrono::duration_cast<MonoClock::duration>(ceiling * (0.5 + state_.random.unit() / 2));
      co_await state_.clock.sleep_until(state_.clock.mono() + pause);
    } else if (!worked) {
      co_await wake_.wait_until(state_.clock.mono() + 1h);
    }
  }
}

asio::awaitable<bool> Completer::flush_table(std::size_t table) {
  Buffer& buffer = buffers_[table];
  bool worked = false;
  for (std::deque<Item>* queue : {&buffer.completed, &buffer.ended, &buffer.reported}) {
    if (queue->empty()) continue;
    const bool written = co_await write(table, *queue);
    worked = worked || written;
  }
  if (!state_.tables[table]->ledger.removable().empty()) co_await drop_empty_claims(table);
  co_return worked || !buffer.completed.empty() || !buffer.ended.empty() || !buffer.reported.empty();
}

/// Writes what buffers_[table].sending holds: all of one kind, or one with a port.
asio::awaitable<std::vector<std::string>> Completer::send(std::size_t table, std::deque<Item>& queue, std::vector<std::int64_t> dropped) {
  const Buffer& buffer = buffers_[table];
  JobTable& job_table = state_.tables[table]->table;
  std::vector<const EndedJob*> all;  // they stay where they are until the answer is there
  for (const Item& item : buffer.sending) all.push_back(&item.ended);
  const EndedJobs jobs(std::move(all));
  if (&queue == &buffer.completed) co_return co_await job_table.finish_completed(jobs, dropped);
  if (&queue == &buffer.reported) {
    const std::optional<Statement> port = port_of(buffer.sending.front());
    if (port) {
      co_return co_await job_table.finish_reported(buffer.sending.front().ended, *port, state_.identity.node_id, dropped);
    }
    if (buffer.sending.front().ended.ending.kind == Ending::Kind::completed) {  // the port went away meanwhile
      co_return co_await job_table.finish_completed(jobs, dropped);
    }
  }
  co_return co_await job_table.finish_ended(jobs, state_.identity.node_id, dropped);
}

asio::awaitable<bool> Completer::write(std::size_t table, std::deque<Item>& queue) {
  Buffer& buffer = buffers_[table];
  const bool alone = &queue == &buffer.reported;
  const std::size_t n = alone ? 1 : std::min(queue.size(), buffer.batch_limit);
  buffer.sending.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.begin() + static_cast<std::ptrdiff_t>(n)));
  queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(n));

  std::map<std::int64_t, std::size_t> per_token;
  for (const Item& item : buffer.sending) ++per_token[item.ended.job.claim_token];
  const std::vector<std::int64_t> dropped = state_.tables[table]->ledger.ending_with(per_token);
  std::optional<DbError> error;
  bool by_port = false;
  std::vector<std::string> written;
  ROWCREW_FAULT_POINT("finish.sending");
  try {
    written = co_await send(table, queue, dropped);
  } catch (const PortError& e) {
    error = e;
    by_port = true;
  } catch (const DbError& e) {
    error = e;
  } catch (const TransientError& e) {  // no free connection in time: nothing was sent
    error = DbError(ErrorClass::transient, "", e.what(), true, false);
  }
  Batch batch = std::move(buffer.sending);
  buffer.sending.clear();
  if (error) {
    put_back(table, queue, std::move(batch), *error, by_port);
    co_return false;
  }
  ROWCREW_FAULT_POINT("finish.committed");
  failures_ = 0;
  if (!alone) buffer.batch_limit = std::min(kMaxBatch, buffer.batch_limit * 2);
  co_await settle(table, std::move(batch), std::move(written), dropped);
  co_return true;
}

/// This very row cannot be written as it is: jsonb refuses its result, say, or its port does. What the
/// port says of the data is final, what is wrong with the port itself may be mended.
void Completer::replace_ending(std::size_t table, Item item, const DbError& error, bool by_port) {
  const Job& job = item.ended.job;
  state_.log.error(by_port ? event::kPortFailed : event::kClaimFailed,
                   {{"job", job.id}, {"job_type", job.job_type}, {"code", error.code()}}, error.what());
  Outcome outcome = Failed("unwritable_result", error.what());
  if (by_port && error.error_class() == ErrorClass::bug) outcome = Retry("port_failed", error.what());
  if (by_port && error.error_class() == ErrorClass::permanent) outcome = Failed("port_failed", error.what());
  item.ended.ending = decide(job, outcome, state_.job_types.policy(job.job_type).retry, state_.random.unit());
  item.port_refused = by_port;
  file(table, std::move(item));
}

void Completer::put_back(std::size_t table, std::deque<Item>& queue, Batch batch, const DbError& error, bool by_port) {
  Buffer& buffer = buffers_[table];
  if (state_.tables[table]->broken()) {
    for (auto item = batch.rbegin(); item != batch.rend(); ++item) queue.push_front(std::move(*item));
    return;
  }
  const bool refused = !error.connection_lost();
  if (refused && batch.size() == 1 && error.error_class() != ErrorClass::transient) {
    replace_ending(table, std::move(batch.front()), error, by_port);
    return;
  }
  ++failures_;
  // A row that somebody holds locked, or one that is refused, must not hold up its neighbours.
  if (refused && &queue != &buffer.reported) buffer.batch_limit = 1;
  for (auto item = batch.rbegin(); item != batch.rend(); ++item) {
    if (error.outcome_unknown()) item->maybe_written = true;
    if (refused && batch.size() == 1) {
      queue.push_back(std::move(*item));
    } else {
      queue.push_front(std::move(*item));
    }
  }
}

asio::awaitable<void> Completer::settle(std::size_t table, Batch batch, std::vector<std::string> written,
                                        std::vector<std::int64_t> dropped) {
  const bool all_ours = written.size() == batch.size();
  std::unordered_set<std::string> ours;
  if (!all_ours) ours.insert(written.begin(), written.end());
  std::vector<EndedJob> doubtful;
  std::chrono::milliseconds parked{-1};
  ClaimLedger& ledger = state_.tables[table]->ledger;
  for (Item& item : batch) {
    const std::int64_t token = item.ended.job.claim_token;
    ledger.ended(token, 1, std::find(dropped.begin(), dropped.end(), token) != dropped.end());
    if (all_ours || ours.contains(item.ended.job.id)) {
      report(table, item.ended);
      if (item.ended.ending.delay > 0ms) parked = parked < 0ms ? item.ended.ending.delay : std::min(parked, item.ended.ending.delay);
    } else if (item.maybe_written) {
      doubtful.push_back(item.ended);
    } else {
      report_lost(table, item.ended);
    }
  }
  if (parked >= 0ms && parked_) parked_(parked);
  if (doubtful.empty()) co_return;
  std::vector<std::string> verified;
  try {
    verified = co_await state_.tables[table]->table.finish_verify(doubtful);
  } catch (const Error&) {
    // Nothing depends on it but the count: the rows are right either way.
  }
  const std::unordered_set<std::string> certain(verified.begin(), verified.end());
  for (const EndedJob& ended : doubtful) {
    if (certain.contains(ended.job.id)) {
      report(table, ended);
    } else {
      report_lost(table, ended);
    }
  }
}

void Completer::report(std::size_t table, const EndedJob& ended) {
  state_.statistics.ended(state_.minute(), state_.tables[table]->table.name(), ended.job.job_type,
                          ended.ending.kind, ended.duration_ms);
  const bool bad = ended.ending.kind == Ending::Kind::failed;
  const LogLevel level = bad ? LogLevel::warning : LogLevel::info;
  if (!state_.log.enabled(level)) return;
  std::vector<LogField> fields;
  fields.emplace_back("job", ended.job.id);
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
  state_.log.warning(event::kJobClaimLost, {{"job", ended.job.id}, {"job_type", ended.job.job_type}},
                     "the row is no longer under this claim; the result was refused and dropped");
}

/// The table is not ours to write any more: its companions are gone, and with them every claim.
void Completer::give_up(std::size_t table) {
  Buffer& buffer = buffers_[table];
  for (std::deque<Item>* queue : {&buffer.completed, &buffer.ended, &buffer.reported}) {
    for (const Item& item : *queue) report_lost(table, item.ended);
    queue->clear();
  }
  state_.tables[table]->ledger.abandon();
}

asio::awaitable<void> Completer::drop_empty_claims(std::size_t table) {
  TableState& state = *state_.tables[table];
  const std::vector<std::int64_t> tokens = state.ledger.removable();
  try {
    co_await state.table.drop_claims(tokens, state_.identity.node_id);
    for (const std::int64_t token : tokens) state.ledger.removed(token);
  } catch (const Error&) {
    ++failures_;
  }
}

}  // namespace rowcrew
