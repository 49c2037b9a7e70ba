#include "runtime/claimer.hpp"

#include <algorithm>

#include "base/event.hpp"
#include <rowcrew/fault.hpp>
#include "runtime/completer.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kUnservedDelay = 30s;
}  // namespace

Claimer::Claimer(NodeState& state, Executor& executor, Completer& completer)
    : state_(state), executor_(executor), completer_(completer),
      pacer_(
          [&] {
            ClaimPacer::Options options;
            options.poll_every = state.config.poll_every;
            return options;
          }(),
          state.config.queue_names()),
      suspects_(SuspectPacer::Options{}),
      marks_(kMostTables, Watermarks(Watermarks::Options{})),
      wake_(state.executor, state.clock) {}

void Claimer::wake() {
  pacer_.woken(state_.clock.mono());
  found_nothing_ = false;
  wake_.ring();
}

void Claimer::slot_freed(std::string_view queue) {
  pacer_.slot_freed(queue, state_.clock.mono());
  wake_.ring();
}

void Claimer::look_everywhere() {
  for (Watermarks& marks : marks_) marks.reset();
  wake();
}

bool Claimer::drained() const {
  return found_nothing_ && pacer_.idle() && !suspects_.waiting() && state_.running.empty() && completer_.pending() == 0;
}

asio::awaitable<void> Claimer::run() {
  suspect_running_ = false;
  for (;;) co_await step();
}

asio::awaitable<void> Claimer::step() {
  const Mono now = state_.clock.mono();
  if (suspect_running_ && state_.running.empty()) {
    suspect_running_ = false;
    suspects_.settled();
    next_suspect_look_ = now;
  }
  if (!state_.may_claim() || suspect_running_) {
    co_await wake_.wait_until(now + 1s);
    co_return;
  }
  if (now >= next_suspect_look_) co_await look_for_suspects();
  const auto action = suspects_.next(state_.clock.mono(), state_.running.size());
  if (action == SuspectPacer::Action::claim_suspect) {
    co_await run_suspect();
    co_return;
  }
  const bool hold = action == SuspectPacer::Action::hold;
  if (!hold && any_slot_free() && pacer_.due() <= state_.clock.mono()) {
    co_await claim_tables();
    co_return;
  }
  Mono until = next_suspect_look_;
  if (!hold && any_slot_free()) until = std::min(until, pacer_.due());
  if (const auto change = suspects_.until()) until = std::min(until, *change);
  co_await wake_.wait_until(until);
}

std::vector<std::string> Claimer::open_queues() const {
  std::vector<std::string> queues;
  for (const std::string& queue : state_.config.queue_names()) {
    if (!state_.paused.contains(queue)) queues.push_back(queue);
  }
  return queues;
}

bool Claimer::any_slot_free() const {
  const auto queues = state_.config.queue_names();
  return std::any_of(queues.begin(), queues.end(), [&](const std::string& q) {
    return state_.slots.free(q) > 0 && !state_.paused.contains(q);
  });
}

std::vector<ClaimWant> Claimer::wants(std::size_t table, bool sweep) const {
  std::vector<ClaimWant> wants;
  for (const auto& [queue, limit] : state_.config.queues) {
    const std::size_t free = state_.slots.free(queue);
    if (free == 0 || state_.paused.contains(queue)) continue;
    ClaimWant want;
    want.queue = queue;
    want.count = std::min<std::size_t>(free, 500);
    want.marks = sweep ? std::vector<std::string>(Watermarks::kPriorities, "-infinity") : marks_[table].marks(queue);
    wants.push_back(std::move(want));
  }
  return wants;
}

asio::awaitable<void> Claimer::claim_tables() {
  const bool idle = pacer_.idle();
  pacer_.started();
  std::vector<ClaimPacer::Answer> answers;
  std::optional<std::string> failure;
  found_nothing_ = true;
  for (std::size_t i = 0; i < state_.tables.size() && state_.may_claim(); ++i) {
    const std::size_t table = (first_table_ + i) % state_.tables.size();
    if (!state_.tables[table]->serving()) continue;
    const bool sweep = idle || marks_[table].sweep_due(state_.clock.mono());
    try {
      co_await claim_table(table, sweep, answers);
    } catch (const Error& e) {
      failure = e.what();
      break;
    }
  }
  first_table_ = (first_table_ + 1) % state_.tables.size();
  if (failure) {
    found_nothing_ = false;
    pacer_.failed(state_.clock.mono(), state_.random.unit());
    state_.log.debug(event::kClaimFailed, {}, *failure);
  } else {
    pacer_.claimed(state_.clock.mono(), answers, state_.random.unit());
  }
}

asio::awaitable<void> Claimer::claim_table(std::size_t table, bool sweep, std::vector<ClaimPacer::Answer>& answers) {
  std::vector<ClaimWant> want = wants(table, sweep);
  if (want.empty()) co_return;
  for (const ClaimWant& w : want) {
    const auto known = std::find_if(answers.begin(), answers.end(), [&](const auto& a) { return a.queue == w.queue; });
    if (known == answers.end()) answers.push_back({w.queue, w.count, 0});
  }
  const std::int64_t epoch = state_.identity.epoch;
  TakenHints taken;
  std::vector<ClaimedJob> claimed = co_await send_claim(table, std::move(want), taken);
  if (sweep) marks_[table].swept(state_.clock.mono(), state_.random.unit());
  std::map<std::string, std::size_t, std::less<>> jobs;
  for (const ClaimedJob& job : claimed) {
    marks_[table].note(job.job.queue, job.priority, job.hint_run_at_us);
    ++jobs[job.job.queue];
  }
  marks_[table].settle();
  // Stale hints fill a claim without giving a job: what lies behind them must not wait for a poll.
  for (auto& answer : answers) {
    const auto hints = taken.find(answer.queue);
    const bool stale = hints != taken.end();
    answer.got += stale ? hints->second : jobs[answer.queue];
    if (stale) found_nothing_ = false;
  }
  if (!claimed.empty()) found_nothing_ = false;
  co_await start_all(table, epoch, std::move(claimed));
}

/// Sends one claim under a token of its own. A row that somebody holds locked (55P03) is tried once
/// more in the form that steps around it.
asio::awaitable<std::vector<ClaimedJob>> Claimer::send_claim(std::size_t table, std::vector<ClaimWant> wants, TakenHints& taken) {
  TableState& state = *state_.tables[table];
  bool around = false;
  for (;;) {
    const std::int64_t token = state_.new_token();
    const NodeIdentity identity = state_.identity;
    state.ledger.sending(token);
    std::optional<DbError> error;
    std::optional<TransientError> unsent;
    std::vector<ClaimedJob> claimed;
    try {
      if (around) {
        claimed = co_await state.table.claim_unlocked(token, identity, wants, &taken);
      } else {
        claimed = co_await state.table.claim(token, identity, wants, &taken);
      }
    } catch (const DbError& e) {
      error = e;
    } catch (const TransientError& e) {
      unsent = e;
    }
    if (!error && !unsent) {
      ROWCREW_FAULT_POINT("claim.committed");
      if (claimed.empty()) {
        state.ledger.unknown(token);  // no row, or one of stale ids only: reconciliation removes it
      } else {
        state.ledger.claimed(token, claimed.size());
      }
      co_return claimed;
    }
    state.ledger.unknown(token);
    if (unsent) throw TransientError(*unsent);
    if (around || error->sqlstate() != "55P03") throw DbError(*error);
    around = true;
  }
}

asio::awaitable<void> Claimer::start_all(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed) {
  std::vector<Job> unserved;
  // Registered anew since the claim was sent: its claim row is a dead node's, and about to be reaped.
  const bool may_start = state_.may_claim() && state_.identity.epoch == epoch;
  for (ClaimedJob& job : claimed) {
    if (!may_start) {
      EndedJob back;
      back.ending = released(job.job);
      back.job = std::move(job.job);
      completer_.add(table, std::move(back));
    } else if (state_.registry.find(job.job.job_type) == nullptr) {
      unserved.push_back(std::move(job.job));
    } else {
      state_.slots.take(job.job.queue);
      executor_.start(table, std::move(job));
    }
  }
  if (unserved.empty()) co_return;
  if (state_.clock.mono() >= next_unserved_line_) {
    next_unserved_line_ = state_.clock.mono() + 1min;
    state_.log.warning(event::kJobUnserved, {{"job_type", unserved.front().job_type}, {"jobs", unserved.size()}},
                       "no handler for this job type here: handed back, tried again in 30s");
  }
  std::map<std::int64_t, std::size_t> per_token;
  for (const Job& job : unserved) ++per_token[job.claim_token];
  TableState& state = *state_.tables[table];
  const std::vector<std::int64_t> dropped = state.ledger.ending_with(per_token);
  co_await state.table.park_unserved(unserved, dropped, kUnservedDelay);
  for (const auto& [token, jobs] : per_token) {
    state.ledger.ended(token, jobs, std::find(dropped.begin(), dropped.end(), token) != dropped.end());
  }
}

asio::awaitable<void> Claimer::look_for_suspects() {
  const Mono now = state_.clock.mono();
  next_suspect_look_ = now + std::chrono::duration_cast<MonoClock::duration>(state_.config.poll_every * (0.5 + state_.random.unit()));
  bool waits = false;
  try {
    for (const auto& table : state_.tables) {
      if (!table->serving()) continue;
      const bool here = co_await table->table.has_suspect(open_queues());
      waits = waits || here;
    }
  } catch (const Error& e) {
    state_.log.debug(event::kClaimFailed, {}, e.what());
    co_return;
  }
  suspects_.looked(now, waits, state_.random.unit());
}

asio::awaitable<void> Claimer::run_suspect() {
  const std::vector<std::string> queues = open_queues();
  bool failed = false;
  for (std::size_t table = 0; table < state_.tables.size() && !suspect_running_ && !failed; ++table) {
    TableState& state = *state_.tables[table];
    if (!state.serving()) continue;
    const std::int64_t token = state_.new_token();
    const std::int64_t epoch = state_.identity.epoch;
    state.ledger.sending(token);
    std::vector<ClaimedJob> claimed;
    try {
      claimed = co_await state.table.claim_suspect(token, state_.identity, queues);
    } catch (const Error& e) {
      state_.log.debug(event::kClaimFailed, {}, e.what());
      failed = true;
    }
    state.ledger.unknown(token);
    if (claimed.empty()) continue;
    state.ledger.claimed(token, claimed.size());
    found_nothing_ = false;
    suspect_running_ = true;
    co_await start_all(table, epoch, std::move(claimed));
  }
  if (!suspect_running_) {
    suspects_.settled();
    next_suspect_look_ = std::max(next_suspect_look_, state_.clock.mono() + 100ms);
  }
}

}  // namespace rowcrew
