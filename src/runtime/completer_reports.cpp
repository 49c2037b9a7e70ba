// The completer's part in ports: ends that "<job type>_ended" hears of, in the transaction that writes them.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/event.hpp"
#include "queue/ended_report.hpp"
#include "queue/refusal_search.hpp"
#include "runtime/completer.hpp"
#include <rowcrew/fault.hpp>

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
constexpr auto kAsideFirst = 5s;
constexpr int kAsideDoublings = 6;  // up to five minutes
constexpr auto kBetweenProbes = 2s;  // each waits for lock_timeout, and all others behind it

/// What every database encoding can hold.
std::string plain_text(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7f; }, '?');
  return text;
}

}  // namespace

std::optional<Statement> Completer::port_of(const Item& item) const {
  // A port that refused in a transaction of the handler is not asked about its refusal either.
  if (item.port_refused || item.ended.ending.code == kPortFailed || !is_reported(item.ended.ending.kind)) return std::nullopt;
  return state_.ports.ended()->find(item.ended.job.job_type, item.ended.job.app);
}

bool Completer::behind(std::string_view queue) const {
  std::size_t waiting = 0;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) waiting += buffers_[table].reported.size();
  if (waiting < kMostReported) return false;
  waiting = 0;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    const WideDeque<Item>& reported = buffers_[table].reported;
    waiting += static_cast<std::size_t>(std::count_if(reported.begin(), reported.end(), [&](const Item& item) { return item.ended.job.queue == queue; }));
  }
  return waiting >= kMostReported;
}

bool Completer::can_report(std::size_t table) const {
  const Buffer& buffer = buffers_[table];
  const auto free = [](const Item& item) { return item.held == 0; };
  return !buffer.reported.empty() &&
         (draining_ || buffer.probe <= state_.clock.mono() || std::any_of(buffer.reported.begin(), buffer.reported.end(), free));
}

/// A row that it writes, or its port, is somebody's, perhaps for long: others go by, and of those that wait one is tried at a time.
void Completer::held_up(std::size_t table, Item item) {
  Buffer& buffer = buffers_[table];
  const Job& job = item.ended.job;
  if (++item.held == 2) {
    state_.log.warning(event::kJobUnwritable, {{"job", state_.tables[table]->table.label(job.id)}, {"job_type", job.job_type}},
                       "another transaction holds a row that its end writes: tried again until that is over");
  }
  Mono when = state_.clock.mono();
  if (port_of(item)) {  // stays in its queue, which says whether ports are behind
    buffer.probe = when + kBetweenProbes;
    buffer.reported.push_back(std::move(item));
    return;
  }
  for (const auto& [at, other] : buffer.aside) when = other.held > 0 ? std::max(when, at) : when;
  buffer.aside.emplace_back(when + kBetweenProbes, std::move(item));
  wake_.ring();
}

/// One of them was written: the others may have waited for the same transaction.
void Completer::release_held(std::size_t table) {
  buffers_[table].probe = Mono{};
  for (auto& [at, item] : buffers_[table].aside) at = item.held > 0 ? state_.clock.mono() : at;
  wake_.ring();
}

/// The next ones that can share a transaction: of one port, all completed or none, and all held up or none.
std::vector<Completer::Item> Completer::take_reported(std::size_t table) {
  Buffer& buffer = buffers_[table];
  while (!draining_ && buffer.reported.begin()->held > 0 && state_.clock.mono() < buffer.probe) {  // one is not: can_report()
    std::vector<Item> first = take_front(buffer.reported, 1);
    buffer.reported.push_back(std::move(first.front()));
  }
  const auto sort_of = [this](const Item& item) {
    const std::optional<Statement> port = port_of(item);
    return std::tuple(item.held > 0, item.ended.ending.kind == Ending::Kind::completed, port ? std::string(port->text) : std::string());
  };
  const auto job_of = [](const Item& item) { return std::string_view(item.ended.job.id); };
  std::size_t count = buffer.report_batch.together(buffer.reported, sort_of, job_of);
  if (buffer.reported.begin()->held > 0 && buffer.probe != Mono{}) count = 1;  // until one of them was written
  return take_front(buffer.reported, count);
}

/// Writes what buffers_[table].reporting holds.
asio::awaitable<std::vector<std::string>> Completer::send_reported(std::size_t table, std::vector<std::int64_t> dropped,
                                                                   std::vector<std::string>& cancelled) {
  const std::vector<Item>& items = buffers_[table].reporting;
  JobTable& job_table = state_.tables[table]->table;
  const std::optional<Statement> port = port_of(items.front());
  std::vector<const EndedJob*> all;
  for (const Item& item : items) all.push_back(&item.ended);
  const EndedJobs jobs(std::move(all));
  if (port) co_return co_await job_table.finish_reported(jobs, *port, state_.identity.node_id, dropped, &cancelled);
  // The port went away meanwhile.
  if (items.front().ended.ending.kind == Ending::Kind::completed) co_return co_await job_table.finish_completed(jobs, dropped);
  co_return co_await job_table.finish_ended(jobs, state_.identity.node_id, dropped);
}

asio::awaitable<bool> Completer::report_some(std::size_t table) {
  Buffer& buffer = buffers_[table];
  buffer.reporting = take_reported(table);
  std::map<std::int64_t, std::size_t> ending;
  for (const Item& item : buffer.reporting) ++ending[item.ended.job.claim_token];
  const std::vector<std::int64_t> dropped = state_.tables[table]->ledger.ending_with(ending);
  const Mono began = state_.clock.mono();
  std::optional<DbError> error;
  bool by_port = false;
  std::vector<std::string> written;
  std::vector<std::string> cancelled;
  ROWCREW_FAULT_POINT("finish.sending");
  try {
    written = co_await send_reported(table, dropped, cancelled);
  } catch (const PortError& e) {
    error = e;
    by_port = true;
  } catch (const DbError& e) {
    error = e;
  } catch (const TransientError& e) {  // no free connection in time: nothing was sent
    error = DbError(ErrorClass::transient, "", e.what(), true, false);
  }
  std::vector<Item> batch = std::exchange(buffer.reporting, {});
  if (error) {
    const bool several = batch.size() > 1;
    if (!by_port && !state_.tables[table]->broken()) state_.failed("ends", state_.tables[table]->table.name(), event::kClaimFailed, *error);
    put_back(table, buffer.reported, std::move(batch), *error, by_port);
    if (several && !error->connection_lost()) co_return true;  // one by one now, at once
    // This job's end is another one now: no reason to make those behind it wait.
    co_return !error->connection_lost() && (error->error_class() != ErrorClass::transient || tells_of_held_row(*error));
  }
  ROWCREW_FAULT_POINT("finish.committed");
  state_.worked("ends", state_.tables[table]->table.name());
  buffer.report_batch.written(batch.size(), state_.clock.mono() - began);
  settle(table, std::move(batch), written, cancelled, dropped);
  co_return true;
}

/// What the port says of the data is final, what is wrong with the port itself may be mended.
void Completer::port_refused(std::size_t table, Item item, const DbError& error) {
  const Job& job = item.ended.job;
  state_.log.error(event::kPortFailed, {{"job", state_.tables[table]->table.label(job.id)}, {"job_type", job.job_type}, {"code", error.code()}}, error.what());
  Outcome outcome = Retry(kPortFailed, error.what());
  if (error.error_class() == ErrorClass::permanent) outcome = Failed(kPortFailed, error.what());
  item.ended.ending = decide(job, outcome, state_.job_types.policy(job.job_type).retry, state_.random.unit());
  item.port_refused = true;
  file(table, std::move(item));
}

/// Its values may be what cannot be written (jsonb refuses its result, the database's encoding its message): then
/// another end says so. If the row refuses that too, or does not tell of values (a trigger of the application raises),
/// it is as it is until somebody mends it: then this job ends as it should have.
void Completer::row_refused(std::size_t table, Item item, const DbError& error) {
  const Job& job = item.ended.job;
  const bool of_values = error.error_class() == ErrorClass::permanent;
  const std::string label = state_.tables[table]->table.label(job.id);
  if (of_values && !item.meant) {
    state_.log.error(event::kJobUnwritable, {{"job", label}, {"job_type", job.job_type}, {"code", error.code()}}, error.what());
    item.meant = item.ended.ending;
    const std::string plain = plain_text(item.meant->message);
    if (plain != item.meant->message) {
      item.ended.ending.message = plain;
    } else {
      const Outcome outcome = Failed("unwritable_result", error.what());
      item.ended.ending = decide(job, outcome, state_.job_types.policy(job.job_type).retry, state_.random.unit());
    }
    file(table, std::move(item));
    return;
  }
  if (item.meant) item.ended.ending = *std::exchange(item.meant, std::nullopt);
  const auto wait = kAsideFirst * (1 << std::min(item.refusals++, kAsideDoublings));
  state_.log.error(event::kJobUnwritable, {{"job", label}, {"job_type", job.job_type}, {"code", error.code()},
                                           {"again_s", std::chrono::seconds(wait).count()}}, error.what());
  buffers_[table].aside.emplace_back(state_.clock.mono() + wait, std::move(item));
  wake_.ring();
}

bool Completer::refused_much(std::size_t table) const {
  const Buffer& buffer = buffers_[table];
  const bool lately = buffer.batch_limit < kMaxBatch || buffer.size.most() < kMaxBatch;
  return buffer.aside.size() + (lately ? waiting(table) : 0) >= kMostRefused;
}

void Completer::try_aside(bool all) {
  const Mono now = state_.clock.mono();
  for (std::size_t table = 0; table < buffers_.size(); ++table) {
    std::vector<std::pair<Mono, Item>> waiting = std::exchange(buffers_[table].aside, {});
    for (auto& [when, item] : waiting) {
      if (all || when <= now) {
        file(table, std::move(item));
      } else {
        buffers_[table].aside.emplace_back(when, std::move(item));
      }
    }
  }
}

}  // namespace rowcrew
