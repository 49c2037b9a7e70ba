// The claimer's own loop: jobs that a node's death has met, and what waits here in vain.
#include <algorithm>
#include <optional>

#include "base/event.hpp"
#include "runtime/claimer.hpp"
#include "runtime/completer.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kUnservedDelay = 30s;
constexpr auto kRestingLook = 10min;  // each beat asks whether anything is overdue
constexpr std::chrono::milliseconds kLongestLocalWait = 1s;
constexpr std::size_t kMostRescued = 200;
constexpr std::size_t kMostTold = 20;  // unserved types a minute
constexpr std::chrono::milliseconds kLookAgain = 1s;  // after a failure, also at rest
}  // namespace

asio::awaitable<void> Claimer::run() {
  suspect_running_ = suspect_asked_ = false;
  for (;;) co_await step();
}

asio::awaitable<void> Claimer::step() {
  const Mono now = state_.clock.mono();
  if (!unserved_.empty()) co_await park_unserved();
  for (LocalJob& job : local_.older_than(now - kLongestLocalWait)) {
    // No slot came free for it: those that run are long, though none of them has ended and told. Else it would be
    // claimed again at once, and never be another node's.
    queues_.find(job.claimed.job.queue)->second.prefetch.ran(now - job.since);
    hand_back(std::move(job));
  }
  // The claim is known from its answer until its end is written, wherever the job is meanwhile.
  if (suspect_running_ && state_.running.empty() && !state_.tables[suspect_.first]->ledger.knows(suspect_.second)) {
    suspect_running_ = false;
    suspects_.settled();
    next_suspect_look_ = now;
    if (due_rung_) due_rung_();
  }
  if (!state_.may_claim() || suspect_running_) {
    co_await wake_.wait_until(now + 1s);
    co_return;
  }
  if (now >= next_suspect_look_) co_await look_for_suspects();
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (rescued_due_[table] && state_.tables[table]->serving()) co_await claim_rescued(table);
    if (tables_[table].rescued_searching) co_await search_rescued(table);
    if (tables_[table].searching && !holding()) co_await search_ready(table);
  }
  const auto action = suspects_.next(state_.clock.mono(), neighbours());
  if (action == SuspectPacer::Action::claim_suspect) {
    co_await run_suspect();
    co_return;
  }
  if (action == SuspectPacer::Action::claim_normally && due_rung_) due_rung_();  // it may have held back until now
  Mono until = next_suspect_look_;
  local_watched_ = local_.size() > 0;
  if (local_watched_) until = std::min(until, now + kLongestLocalWait / 4);
  if (const auto change = suspects_.until()) until = std::min(until, *change);
  co_await wake_.wait_until(until);
}

asio::awaitable<void> Claimer::look_for_suspects() {
  const Mono now = state_.clock.mono();
  last_suspect_look_ = now;
  const bool rests = every_served([](const Table& t) { return t.rests; });
  const std::chrono::milliseconds every = rests ? std::chrono::milliseconds(kRestingLook) : state_.config.poll_every;
  next_suspect_look_ = now + std::chrono::duration_cast<MonoClock::duration>(every * (0.5 + state_.random.unit()));
  bool waits = false;
  try {
    for (std::size_t table = 0; table < state_.tables.size(); ++table) {
      if (!state_.tables[table]->serving()) continue;
      const JobTable::Due due = co_await state_.tables[table]->table.has_suspect(open_queues());
      rescued_due_[table] = due.rescued;
      waits = waits || due.suspect;
      if (due.next) next_suspect_look_ = std::min<Mono>(next_suspect_look_, state_.clock.mono() + *due.next);
    }
  } catch (const Error& e) {
    state_.failed("rescued jobs", "", event::kClaimFailed, e);
    next_suspect_look_ = std::min(next_suspect_look_, now + kLookAgain);
    co_return;
  }
  state_.worked("rescued jobs", "");
  suspects_.looked(now, waits, state_.random.unit());
}

std::vector<ClaimWant> Claimer::free_slots() const {
  std::vector<ClaimWant> wants;
  for (const std::string& queue : open_queues()) {
    const Queue& state = queues_.find(queue)->second;
    const std::size_t taken = coming(queue, state);
    const std::size_t free = state_.slots.free(queue);
    // What is claimed ahead takes none of the slots that are kept: behind a backlog there would be some of it for ever.
    const std::size_t count = std::max(free > taken ? free - taken : 0, std::min(free, kept_for_rescued(state)));
    if (count == 0 || closed(queue)) continue;
    ClaimWant want;
    want.queue = queue;
    want.count = count;
    wants.push_back(std::move(want));
  }
  return wants;
}

asio::awaitable<void> Claimer::claim_rescued(std::size_t table) {
  std::vector<ClaimWant> wants = free_slots();
  std::size_t room = 0;
  for (const ClaimWant& want : wants) room += want.count;
  if (room == 0) co_return;
  room = std::min({room, kMostRescued, most_per_claim(table)});
  TableState& state = *state_.tables[table];
  const NodeIdentity node = state_.identity;
  const auto on_its_way = on_their_way_;
  std::vector<std::int64_t> tokens;
  for (std::size_t i = 0; i < room; ++i) tokens.push_back(state_.new_token());
  for (const std::int64_t token : tokens) state.ledger.sending(token);
  for (const ClaimWant& want : wants) queues_.find(want.queue)->second.asked += want.count;
  std::vector<ClaimedJob> claimed;
  bool failed = false;
  const Mono sent = state_.clock.mono();
  try {
    claimed = co_await state.table.claim_rescued(tokens, node, wants);
    tables_[table].rescued_refusals = 0;
  } catch (const Error& e) {
    claim_failed("claims of rescued jobs", table, e);
    failed = true;
    const auto* db = dynamic_cast<const DbError*>(&e);
    if (db != nullptr && tells_of_overdue(*db)) tables_[table].size.overdue(room, state_.clock.mono() - sent);
    tables_[table].rescued_searching = suspects_one_job(tables_[table].rescued_refusals, e);
  }
  if (!failed) state_.worked("claims of rescued jobs", state.table.name());
  for (const ClaimWant& want : wants) queues_.find(want.queue)->second.asked -= want.count;
  for (const std::int64_t token : tokens) {
    if (failed) {
      state.ledger.unknown(token);
    } else {
      state.ledger.unused(token);
    }
  }
  for (const ClaimedJob& job : claimed) state.ledger.claimed(job.job.claim_token, 1);
  rescued_due_[table] = !failed && claimed.size() >= room;  // else the next look says
  if (!claimed.empty()) tables_[table].found_nothing = false;
  next_suspect_look_ = std::min(next_suspect_look_, state_.clock.mono() + (claimed.empty() ? kLookAgain : 50ms));
  accept(table, node.epoch, std::move(claimed));
}

asio::awaitable<void> Claimer::run_suspect() {
  const std::vector<std::string> queues = open_queues();
  const auto on_its_way = on_their_way_;
  suspect_asked_ = true;
  bool failed = false;
  for (std::size_t table = 0; table < state_.tables.size() && !suspect_running_ && !failed; ++table) {
    TableState& state = *state_.tables[table];
    if (!state.serving()) continue;
    const std::int64_t token = state_.new_token();
    const std::int64_t epoch = state_.identity.epoch;
    state.ledger.sending(token);
    std::vector<ClaimedJob> claimed;
    std::optional<DbError> refusal;
    try {
      claimed = co_await state.table.claim_suspect(token, state_.identity, queues);
    } catch (const Error& e) {
      claim_failed("claims of suspects", table, e);
      failed = true;
      std::size_t refusals = 1;
      if (suspects_one_job(refusals, e)) refusal = dynamic_cast<const DbError&>(e);
    }
    if (refusal) {
      DbError error = *refusal;
      co_await lay_aside_suspect(table, std::move(error));
    }
    if (!failed) state_.worked("claims of suspects", state.table.name());
    if (failed) {
      state.ledger.unknown(token);
    } else {
      state.ledger.unused(token);
    }
    if (claimed.empty()) continue;
    state.ledger.claimed(token, claimed.size());
    tables_[table].found_nothing = false;
    suspect_running_ = true;
    suspect_ = {table, token};
    accept(table, epoch, std::move(claimed));
  }
  suspect_asked_ = false;
  if (!suspect_running_) {
    suspects_.settled();
    next_suspect_look_ = std::max(next_suspect_look_, state_.clock.mono() + 100ms);
  }
}

/// Each type once a minute: who looks for a misspelt one must find its name.
void Claimer::tell_unserved(const std::vector<std::pair<std::size_t, Job>>& all) {
  const Mono now = state_.clock.mono();
  std::map<std::string, std::size_t> jobs;
  for (const auto& [table, job] : all) ++jobs[job.job_type];
  std::erase_if(unserved_told_, [&](const auto& told) { return told.second <= now; });
  for (const auto& [type, count] : jobs) {
    if (unserved_told_.size() >= kMostTold || !unserved_told_.emplace(type, now + 1min).second) continue;
    state_.log.warning(event::kJobUnserved, {{"job_type", type}, {"jobs", count}},
                       "no handler for this job type here: handed back, tried again in 30s");
  }
}

asio::awaitable<void> Claimer::park_unserved() {
  const std::vector<std::pair<std::size_t, Job>> all = std::exchange(unserved_, {});
  const auto on_its_way = on_their_way_;
  tell_unserved(all);
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    std::vector<Job> jobs;
    std::map<std::int64_t, std::size_t> per_token;
    for (const auto& [of, job] : all) {
      if (of != table) continue;
      jobs.push_back(job);
      ++per_token[job.claim_token];
    }
    if (jobs.empty()) continue;
    TableState& state = *state_.tables[table];
    const std::vector<std::int64_t> dropped = state.ledger.ending_with(per_token);
    bool failed = false;
    try {
      std::vector<Job> copies = jobs;
      co_await state.table.park_unserved(std::move(copies), dropped, kUnservedDelay);
    } catch (const Error& e) {
      state_.log.debug(event::kClaimFailed, {}, e.what());
      failed = true;
    }
    if (failed) {  // handed back by whoever brings ends home whatever happens
      for (Job& job : jobs) release(table, std::move(job));
      continue;
    }
    for (const auto& [token, n] : per_token) {
      state.ledger.ended(token, n, std::find(dropped.begin(), dropped.end(), token) != dropped.end());
    }
  }
}

}  // namespace rowcrew
