#include "runtime/claimer.hpp"

#include <algorithm>
#include <utility>

#include "base/event.hpp"
#include "runtime/completer.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kRestingPoll = 10min;  // each beat asks whether anything is overdue

/// Those that wait here for a slot start in the order that claims promise; the database returns them as their hints lie
/// in its pages, which is nearly always the same.
void put_in_order(std::vector<ClaimedJob>& claimed) {
  const auto before = [](const ClaimedJob& a, const ClaimedJob& b) {
    return std::pair(a.priority, a.hint_run_at_us) < std::pair(b.priority, b.hint_run_at_us);
  };
  if (!std::is_sorted(claimed.begin(), claimed.end(), before)) std::stable_sort(claimed.begin(), claimed.end(), before);
}

}  // namespace

Claimer::Claimer(NodeState& state, Executor& executor, Completer& completer, Intake& intake)
    : state_(state), executor_(executor), completer_(completer), intake_(intake), suspects_(SuspectPacer::Options{}),
      wake_(state.executor, state.clock), rescued_due_(kMostTables, false) {
  ClaimPacer::Options pacing;
  pacing.poll_every = state.config.poll_every;
  for (std::size_t i = 0; i < kMostTables; ++i) tables_.emplace_back(ClaimPacer(pacing, state.config.queue_names()), LimitedPacer(state.config.queue_names()));
  Prefetch::Options ahead;
  ahead.most = state.config.prefetch;
  for (const auto& [queue, slots] : state.config.queues) queues_.emplace(queue, Queue(Prefetch(ahead))).first->second.slots = slots;
}

void Claimer::wake(std::string_view table) {
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    if (!table.empty() && state_.tables[i]->table.name() != table) continue;
    tables_[i].pacer.woken(state_.clock.mono());
    tables_[i].limited.rules(state_.limited_queues, state_.clock.mono());
    tables_[i].limited.woken(state_.clock.mono());
    tables_[i].found_nothing = false;
  }
  if (table.empty()) look_for_survivors();
  if (due_rung_) due_rung_();
}

void Claimer::look_around() {
  const Mono now = state_.clock.mono();
  for (Table& table : tables_) {
    table.pacer.woken(now);
    table.limited.glance(now);
    table.found_nothing = false;
  }
  look_for_survivors();
  if (due_rung_) due_rung_();
}

/// Not at every announcement: once a second is enough for what has met a death.
void Claimer::look_for_survivors() {
  next_suspect_look_ = std::min(next_suspect_look_, last_suspect_look_ + 1s);
  wake_.ring();
}

void Claimer::follow_leader() {
  bool alone = false;
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    const bool rests = state_.hears && state_.led(*state_.tables[i]);
    if (rests == std::exchange(tables_[i].rests, rests)) continue;
    tables_[i].pacer.poll_every(rests ? std::chrono::milliseconds(kRestingPoll) : state_.config.poll_every);
    alone = alone || !rests;
  }
  if (alone) wake();
}

bool Claimer::quiet() const {
  return every_served([this](const Table& t) { return t.pacer.idle(state_.paused); }) &&
         std::all_of(queues_.begin(), queues_.end(), [](const auto& q) { return q.second.asked == 0; });
}

void Claimer::slot_freed(std::string_view queue, MonoClock::duration ran) {
  if (const auto at = queues_.find(queue); at != queues_.end()) at->second.prefetch.ran(ran);
  for (std::size_t i = 0; i < state_.tables.size(); ++i) tables_[i].pacer.slot_freed(queue, state_.clock.mono());
  start_local();
  if (suspect_running_ || slot_awaited_ || rescued_wait() || state_.running.empty()) wake_.ring();
  if (due_rung_) due_rung_();
}

/// Slots that a claim had asked for and does not need: a claim of another table may have had to leave the queue out.
void Claimer::slots_left(std::size_t table, const std::string& queue) {
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    if (i != table) tables_[i].pacer.slot_freed(queue, state_.clock.mono());
  }
}

void Claimer::look_everywhere() {
  for (Table& table : tables_) table.marks.reset();
  wake();
}

std::vector<std::string> Claimer::marks(std::size_t table, const std::vector<std::string>& queues) const {
  std::vector<std::string> all;
  for (const std::string& queue : queues) {
    for (std::string& mark : tables_[table].marks.marks(queue, true)) all.push_back(std::move(mark));
  }
  return all;
}

bool Claimer::drained() const {
  const auto queues = open_queues();
  const auto nothing_left = [&](const Table& t) {
    return t.found_nothing && std::all_of(queues.begin(), queues.end(), [&](const std::string& q) { return t.limited.idle(q); });
  };
  return quiet() && every_served(nothing_left) &&
         !suspects_.waiting() && state_.running.empty() && local_.size() == 0 && intake_.empty() &&
         completer_.pending() == 0 && unserved_.empty();
}

bool Claimer::holding() const {
  if (suspect_running_ || suspect_asked_) return true;
  const Mono now = state_.clock.mono();
  SuspectPacer pacer = suspects_;  // asked, not told
  return pacer.next(now, neighbours()) != SuspectPacer::Action::claim_normally;
}

std::vector<std::string> Claimer::open_queues() const {
  std::vector<std::string> queues;
  for (const std::string& queue : state_.config.queue_names()) {
    if (!state_.paused.contains(queue)) queues.push_back(queue);
  }
  return queues;
}

bool Claimer::full() const {
  const auto queues = open_queues();
  return std::any_of(queues.begin(), queues.end(), [&](const std::string& q) { return state_.slots.free(q) == 0; });
}

/// While jobs of a dead node wait, new ones leave them a quarter of a queue's slots: else a backlog
/// would take every slot before they are looked at.
std::size_t Claimer::kept_for_rescued(const Queue& state) const {
  return rescued_wait() ? std::max<std::size_t>(1, state.slots / 4) : 0;
}

std::size_t Claimer::room_of(std::size_t table, const std::string& queue, const Queue& state) const {
  // What is claimed ahead would take the slots that jobs with permits must find free. Where those are claimed ahead
  // themselves no slot is ever free, and it is enough to notice that there are others.
  if (permits_ahead(table, queue, state)) return 1 + state.slots / 16;
  if (has_limits() && tables_[table].limited.waits(queue)) return std::min(most_per_claim(table), free_of(queue, state));
  return std::min(most_per_claim(table), ask_ahead(queue, state));
}

std::size_t Claimer::ask_ahead(const std::string& queue, const Queue& state) const {
  const std::size_t kept = kept_for_rescued(state);
  const std::size_t all = state_.slots.free(queue);
  return state.prefetch.ask(all > kept ? all - kept : 0, state.slots, coming(queue, state));
}

std::size_t Claimer::room(std::size_t table) const {
  std::size_t n = 0;
  for (const auto& [queue, state] : queues_) {
    if (!closed(queue)) n += room_of(table, queue, state);
  }
  return n;
}

std::vector<ClaimWant> Claimer::wants(std::size_t table, bool wide) const {
  const Table& of = tables_[table];
  const Mono now = state_.clock.mono();
  std::vector<ClaimWant> wants;
  for (const auto& [queue, state] : queues_) {
    const std::size_t room = closed(queue) ? 0 : room_of(table, queue, state);
    if (room == 0) continue;
    ClaimWant want;
    want.queue = queue;
    want.count = room;
    want.beside = permits_ahead(table, queue, state);
    want.sweep = of.marks.sweep_due(queue, now) || (of.pacer.idle(state_.paused) && !of.marks.sweeps_are_slow(queue));
    want.marks = want.sweep ? std::vector<std::string>(Watermarks::kPriorities, "-infinity") : of.marks.marks(queue, wide);
    wants.push_back(std::move(want));
  }
  return wants;
}

bool Claimer::may_claim(std::size_t table) const {
  return state_.may_claim() && state_.tables[table]->serving() && !tables_[table].searching && !completer_.refused_much(table) && !holding();
}

bool Claimer::closed(const std::string& queue) const { return state_.paused.contains(queue) || completer_.behind(queue); }

Mono Claimer::due(std::size_t table) const {
  if (!may_claim(table)) return Mono::max();
  const Mono limited = has_limits() ? limited_due(table) : Mono::max();
  return room(table) == 0 ? limited : std::min(limited, tables_[table].pacer.due());
}

std::unique_ptr<ClaimPlan> Claimer::plan(std::size_t table, const Freed& freed) {
  const Mono now = state_.clock.mono();
  if (due(table) > now && (freed.empty() || !may_claim(table))) return nullptr;
  Table& of = tables_[table];
  auto plan = std::make_unique<ClaimPlan>();
  plan->table = table;
  plan->node = state_.identity;
  plan->sent = now;
  plan->on_its_way = on_their_way_;
  const bool others = room(table) > 0 && of.pacer.due() <= now;
  if (others) {
    // Of those that commit late none waits for long where claims are not filled: each looks for them.
    plan->wide = !of.filled || of.marks.wide_due(now);
    plan->resets = of.marks.resets();
    plan->wants = wants(table, plan->wide);
  }
  if (has_limits()) add_limited(*plan, others, freed);
  if (!plan->wants.empty()) {
    plan->token = state_.new_token();
    plan->moment = of.pacer.started();
    state_.tables[table]->ledger.sending(plan->token);
  }
  for (const ClaimWant& want : plan->wants) queues_.find(want.queue)->second.asked += want.coming();
  if (plan->wants.empty() && plan->limited.empty()) return nullptr;
  return plan;
}

void Claimer::answered(std::unique_ptr<ClaimPlan> plan, Exchanged done) {
  const Mono now = state_.clock.mono();
  Table& table = tables_[plan->table];
  state_.worked("claims", state_.tables[plan->table]->table.name());
  table.size.answered(now - plan->sent);
  if (state_.metrics != nullptr) {
    state_.metrics->claim_answered(state_.tables[plan->table]->table.name(), now - plan->sent, done.claimed.empty() && done.limited.empty());
  }
  if (!plan->limited.empty()) answered_limited(*plan, done);
  bool filled = std::any_of(plan->limited.begin(), plan->limited.end(), [&](const LimitedWant& want) {
    return std::any_of(done.answers.begin(), done.answers.end(), [&](const LimitedAnswer& a) { return a.queue == want.queue && a.jobs >= want.count; });
  });
  if (!plan->wants.empty()) {
    table.refusals = 0;
    ClaimLedger& ledger = state_.tables[plan->table]->ledger;
    if (done.claimed.empty()) {
      ledger.unused(plan->token);
    } else {
      ledger.claimed(plan->token, done.claimed.size());
    }
    if (plan->wide) table.marks.widened(now);
    std::vector<ClaimPacer::Answer> answers;
    for (const ClaimWant& want : plan->wants) {
      Queue& queue = queues_.find(want.queue)->second;
      queue.asked -= want.coming();
      queue.prefetch.answered(now - plan->sent);
      // Stale hints fill a claim without giving a job: what lies behind them must not wait for a poll.
      const auto hints = done.taken.find(want.queue);
      queue.others = hints != done.taken.end() && hints->second > 0;
      answers.push_back({want.queue, want.count, queue.others ? hints->second : 0});
      if (answers.back().got < want.count) slots_left(plan->table, want.queue);
      if (!queue.others || !has_limits() || !state_.tables[plan->table]->adopted) continue;
      // The claim of an adopted table moves what rules are about behind its keys, and that is not announced.
      const auto got = std::count_if(done.claimed.begin(), done.claimed.end(), [&](const ClaimedJob& job) { return job.job.queue == want.queue; });
      if (std::cmp_less(got, hints->second)) table.limited.walk_now(want.queue, now);
      queue.others = got > 0;
    }
    const auto full = [](const ClaimPacer::Answer& a) { return a.got >= a.asked; };
    table.filled = std::all_of(answers.begin(), answers.end(), full);
    filled = filled || std::any_of(answers.begin(), answers.end(), full);
    for (const ClaimedJob& job : done.claimed) table.marks.note(job.job.queue, job.priority, job.hint_run_at_us);
    const bool bounded = std::none_of(plan->wants.begin(), plan->wants.end(), [](const ClaimWant& want) { return want.sweep; });
    if (bounded) table.marks.claimed(now - plan->sent);
    for (const ClaimWant& want : plan->wants) {
      if (want.sweep) table.marks.swept(want.queue, plan->resets, now, now - plan->sent, state_.random.unit());
    }
    table.marks.settle();
    table.found_nothing = done.claimed.empty() && done.taken.empty() && done.limited.empty();
    table.pacer.claimed(plan->moment, now, answers, state_.random.unit());
  }
  found_something_ = found_something_ || !done.claimed.empty() || !done.limited.empty();
  // Those with permits first: others may wait here for a slot, they may not.
  accept(plan->table, plan->node.epoch, std::move(done.limited));
  put_in_order(done.claimed);
  accept(plan->table, plan->node.epoch, std::move(done.claimed));
  if (short_ && table.pacer.idle(state_.paused)) short_();
  if (filled_ && filled) filled_();
  if (suspects_.waiting()) wake_.ring();  // for this claim to end
}

void Claimer::refused(std::unique_ptr<ClaimPlan> plan, const Error& error) {
  Table& table = tables_[plan->table];
  const Mono now = state_.clock.mono();
  for (const std::int64_t token : plan->limited_tokens) state_.tables[plan->table]->ledger.unknown(token);
  std::size_t largest = 0;
  for (const ClaimWant& want : plan->wants) largest = std::max(largest, want.count);
  for (const LimitedWant& want : plan->limited) {
    largest = std::max(largest, want.count);
    queues_.find(want.queue)->second.asked -= want.count;
    table.limited.refused(want, now);
  }
  const auto* db = dynamic_cast<const DbError*>(&error);
  if (db != nullptr && tells_of_overdue(*db)) table.size.overdue(largest, now - plan->sent);
  table.found_nothing = false;
  if (!plan->wants.empty()) {
    state_.tables[plan->table]->ledger.unknown(plan->token);
    for (const ClaimWant& want : plan->wants) {
      queues_.find(want.queue)->second.asked -= want.coming();
      slots_left(plan->table, want.queue);
    }
    table.pacer.failed(now, state_.random.unit());
    if (suspects_one_job(table.refusals, error)) {
      table.searching = true;
      wake_.ring();
    }
  }
  claim_failed("claims", plan->table, error);
  if (suspects_.waiting()) wake_.ring();
}

/// What may have been claimed is handed back soon: were the node to die first, its death would count
/// against jobs that never ran.
void Claimer::claim_failed(std::string_view what, std::size_t table, const Error& error) {
  const TableState& of = *state_.tables[table];
  if (!of.broken()) state_.failed(what, of.table.name(), event::kClaimFailed, error);  // else table.held says so
  const auto* db = dynamic_cast<const DbError*>(&error);
  if (db != nullptr && db->outcome_unknown() && unknown_) unknown_();
}

void Claimer::ends_written() {
  if (suspect_running_ || suspects_.waiting() || rescued_wait()) wake_.ring();
  if (due_rung_) due_rung_();  // claims may have held back until now
}

void Claimer::accept(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed) {
  if (state_.metrics != nullptr) {
    for (const ClaimedJob& job : claimed) state_.metrics->claimed(job.job.queue);
  }
  if (claimed.empty() || intake_.takes(table, epoch, claimed)) return;
  take_in(table, epoch, std::move(claimed));
}

void Claimer::start_sifted(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed) {
  take_in(table, epoch, std::move(claimed));
  if (due_rung_) due_rung_();  // those that were laid aside need no slot
}

void Claimer::take_in(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed) {
  // Registered anew since the claim was sent: its claim row is a dead node's, and about to be reaped.
  const bool may_start = state_.may_claim() && state_.identity.epoch == epoch;
  const Mono now = state_.clock.mono();
  for (ClaimedJob& job : claimed) {
    // Given up since, with a lease that came back: reconciliation may have handed it to others.
    const bool ours = state_.tables[table]->ledger.knows(job.job.claim_token);
    if (!may_start || !ours || state_.paused.contains(job.job.queue)) {
      hand_back({table, std::move(job), now});
    } else if (state_.registry.find(job.job.job_type) == nullptr) {
      unserved_.emplace_back(table, std::move(job.job));
    } else if ((job.job.crashes > 0 || job.limited) && state_.slots.free(job.job.queue) > 0) {
      state_.slots.take(job.job.queue);  // kept for it: not for those who wait here already
      executor_.start(table, std::move(job));
    } else if (may_start_at_once(job.job.queue)) {
      state_.slots.take(job.job.queue);
      executor_.start(table, std::move(job));
    } else {
      local_.push({table, std::move(job), now});
    }
  }
  start_local();
  if (!unserved_.empty() || (local_.size() > 0 && !local_watched_)) wake_.ring();
}

bool Claimer::may_start_at_once(const std::string& queue) const {
  const auto at = queues_.find(queue);
  return !starting_ && at != queues_.end() && local_.size(queue) == 0 && state_.slots.free(queue) > kept_for_rescued(at->second);
}

/// A handler may end before start() returns and free the very slot: no recursion then, the loop goes on.
void Claimer::start_local() {
  if (starting_) return;
  starting_ = true;
  for (const auto& [queue, state] : queues_) {
    while (local_.size(queue) > 0 && state_.slots.free(queue) > kept_for_rescued(state)) {
      LocalJob next = local_.pop(queue);
      state_.slots.take(queue);
      executor_.start(next.table, std::move(next.claimed));
    }
  }
  starting_ = false;
}

void Claimer::release(std::size_t table, Job job) {
  EndedJob back;
  back.ending = released(job);
  back.job = std::move(job);
  completer_.add(table, std::move(back));
}

void Claimer::hand_back_local() {
  for (LocalJob& job : local_.take_all()) hand_back(std::move(job));
}

void Claimer::pauses_changed() {
  for (const std::string& queue : state_.paused) {
    for (LocalJob& job : local_.take_all(queue)) hand_back(std::move(job));
  }
  wake();
}

void Claimer::forget_local() { local_.take_all(); }

bool Claimer::end_local(std::size_t table, const std::string& id, const Outcome& outcome) {
  std::optional<LocalJob> job = local_.take(table, id);
  if (!job) return false;
  EndedJob ended;
  ended.ending = decide(job->claimed.job, outcome, RetryPolicy{}, 0.0);
  ended.ending.counts = false;  // nothing of it was executed
  ended.job = std::move(job->claimed.job);
  completer_.add(table, std::move(ended));
  return true;
}

bool Claimer::drop_local(std::size_t table, std::int64_t token, std::string_view id) {
  if (!local_.drop(table, token, id)) return false;
  state_.tables[table]->ledger.ended(token, 1, false);
  return true;
}

}  // namespace rowcrew
