#include "runtime/completer.hpp"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/event.hpp"
#include "base/fault.hpp"

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
    : state_(state), buffers_(state.tables.size()), wake_(state.executor, state.clock), written_(state.executor, state.clock) {}

void Completer::add(std::size_t table, EndedJob ended) {
  Buffer& buffer = buffers_[table];
  auto& queue = ended.ending.kind == Ending::Kind::completed ? buffer.completed : buffer.ended;
  queue.push_back(Item{std::move(ended), false});
  wake_.ring();
}

void Completer::forget(std::size_t table, const Job& job) {
  state_.tables[table]->ledger.ended(job.claim_token, 1, false);
  wake_.ring();
}

std::size_t Completer::pending() const {
  std::size_t n = 0;
  for (const Buffer& b : buffers_) n += b.completed.size() + b.ended.size() + b.sending.size();
  return n;
}

bool Completer::holds(std::size_t table, std::int64_t token) const {
  const auto of_token = [token](const Item& item) { return item.ended.job.claim_token == token; };
  const Buffer& b = buffers_[table];
  return std::any_of(b.completed.begin(), b.completed.end(), of_token) ||
         std::any_of(b.ended.begin(), b.ended.end(), of_token) ||
         std::any_of(b.sending.begin(), b.sending.end(), of_token);
}

asio::awaitable<bool> Completer::drain(Mono until) {
  while (pending() > 0 && state_.clock.mono() < until) co_await written_.wait_until(until);
  co_return pending() == 0;
}

asio::awaitable<void> Completer::run() {
  // A restart after a failure finds what was being sent.
  for (Buffer& buffer : buffers_) {
    for (Item& item : buffer.sending) {
      item.maybe_written = true;
      auto& queue = item.ended.ending.kind == Ending::Kind::completed ? buffer.completed : buffer.ended;
      queue.push_back(std::move(item));
    }
    buffer.sending.clear();
  }
  for (;;) {
    bool worked = false;
    for (std::size_t table = 0; table < buffers_.size(); ++table) {
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
  if (!buffer.completed.empty()) worked = co_await write(table, buffer.completed, true);
  if (!buffer.ended.empty()) {
    const bool written = co_await write(table, buffer.ended, false);
    worked = worked || written;
  }
  if (!state_.tables[table]->ledger.removable().empty()) co_await drop_empty_claims(table);
  co_return worked || !buffer.completed.empty() || !buffer.ended.empty();
}

asio::awaitable<bool> Completer::write(std::size_t table, std::deque<Item>& queue, bool completed) {
  Buffer& buffer = buffers_[table];
  const std::size_t n = std::min(queue.size(), buffer.batch_limit);
  buffer.sending.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.begin() + static_cast<std::ptrdiff_t>(n)));
  queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(n));

  std::vector<EndedJob> jobs;
  std::map<std::int64_t, std::size_t> per_token;
  for (const Item& item : buffer.sending) {
    jobs.push_back(item.ended);
    ++per_token[item.ended.job.claim_token];
  }
  const std::vector<std::int64_t> dropped = state_.tables[table]->ledger.ending_with(per_token);
  JobTable& job_table = state_.tables[table]->table;
  std::optional<DbError> error;
  std::vector<std::string> written;
  ROWCREW_FAULT_POINT("finish.sending");
  try {
    if (completed) {
      written = co_await job_table.finish_completed(std::move(jobs), dropped);
    } else {
      written = co_await job_table.finish_ended(std::move(jobs), state_.identity.node_id, dropped);
    }
  } catch (const DbError& e) {
    error = e;
  } catch (const TransientError& e) {  // no free connection in time: nothing was sent
    error = DbError(ErrorClass::transient, "", e.what(), true, false);
  }
  Batch batch = std::move(buffer.sending);
  buffer.sending.clear();
  if (error) {
    put_back(table, queue, std::move(batch), *error);
    co_return false;
  }
  ROWCREW_FAULT_POINT("finish.committed");
  failures_ = 0;
  buffer.batch_limit = std::min(kMaxBatch, buffer.batch_limit * 2);
  co_await settle(table, std::move(batch), std::move(written), dropped);
  co_return true;
}

void Completer::put_back(std::size_t table, std::deque<Item>& queue, Batch batch, const DbError& error) {
  Buffer& buffer = buffers_[table];
  const bool refused = !error.connection_lost();
  if (refused && batch.size() == 1 && error.error_class() != ErrorClass::transient) {
    // This very row cannot be written as it is (a result that jsonb refuses, say).
    Item& item = batch.front();
    state_.log.error(event::kClaimFailed, {{"job", item.ended.job.id}, {"code", error.code()}}, error.what());
    item.ended.ending = decide(item.ended.job, Failed("unwritable_result", error.what()), RetryPolicy{}, 0);
    buffer.ended.push_front(std::move(item));
    return;
  }
  ++failures_;
  // A row that somebody holds locked, or one that is refused, must not hold up its neighbours.
  if (refused) buffer.batch_limit = 1;
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
  const std::unordered_set<std::string> ours(written.begin(), written.end());
  std::vector<EndedJob> doubtful;
  std::chrono::milliseconds parked{-1};
  ClaimLedger& ledger = state_.tables[table]->ledger;
  for (Item& item : batch) {
    const std::int64_t token = item.ended.job.claim_token;
    ledger.ended(token, 1, std::find(dropped.begin(), dropped.end(), token) != dropped.end());
    if (ours.contains(item.ended.job.id)) {
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
