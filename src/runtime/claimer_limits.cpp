// The claimer's part in limits: jobs that hold permits go into free slots only, never ahead of them.
#include <algorithm>

#include "runtime/claimer.hpp"

namespace rowcrew {

std::size_t Claimer::free_of(const std::string& queue, const Queue& state) const {
  const std::size_t all = state_.slots.free(queue);
  const std::size_t taken = local_.size(queue) + state.asked + kept_for_rescued(state);
  return all > taken ? all - taken : 0;
}

Mono Claimer::limited_due(std::size_t table) const {
  Mono due = Mono::max();
  for (const auto& [name, queue] : queues_) {
    if (state_.paused.contains(name) || free_of(name, queue) == 0) continue;
    due = std::min(due, tables_[table].limited.due(name));
  }
  return due;
}

/// Where jobs of both sorts are asked for each sort gets a half.
void Claimer::add_limited(ClaimPlan& plan, bool others, const Freed& freed) {
  LimitedPacer& pacer = tables_[plan.table].limited;
  for (auto& [name, queue] : queues_) {
    if (state_.paused.contains(name)) continue;
    std::size_t free = free_of(name, queue);
    // What was filed while somebody was awake was not announced: a look at the ready jobs is one at these, too.
    if (others && !pacer.waits(name)) pacer.walk_now(name, plan.sent);
    const auto other = std::find_if(plan.wants.begin(), plan.wants.end(), [&](const ClaimWant& w) { return w.queue == name; });
    if (other != plan.wants.end() && pacer.waits(name) && pacer.asks(name, freed.contains(name), plan.sent)) {
      other->count = std::min(other->count, free - pacer.share(name, free));
      free -= other->count;
      if (other->count == 0) plan.wants.erase(other);
    }
    auto want = pacer.want(name, std::min<std::size_t>(free, kMostWithPermits), freed.contains(name), plan.sent);
    if (!want) continue;
    queue.asked += want->count;
    const std::size_t groups = LimitedPacer::kMostGroups + (freed.contains(name) ? freed.find(name)->second : 0);
    for (std::size_t i = 0; i < std::min(want->count, groups); ++i) {
      plan.limited_tokens.push_back(state_.new_token());
      state_.tables[plan.table]->ledger.sending(plan.limited_tokens.back());
    }
    plan.limited.push_back(std::move(*want));
  }
}

void Claimer::answered_limited(const ClaimPlan& plan, Exchanged& done) {
  const Mono now = state_.clock.mono();
  TableState& state = *state_.tables[plan.table];
  for (const std::int64_t token : plan.limited_tokens) state.ledger.unknown(token);
  std::map<std::int64_t, std::size_t> claims;
  for (const ClaimedJob& job : done.limited) ++claims[job.job.claim_token];
  for (const auto& [token, jobs] : claims) state.ledger.claimed_with_permits(token, jobs);
  for (const LimitedWant& want : plan.limited) {
    queues_.find(want.queue)->second.asked -= want.count;
    const auto answer = std::find_if(done.answers.begin(), done.answers.end(), [&](const LimitedAnswer& a) { return a.queue == want.queue; });
    if (answer == done.answers.end()) {
      tables_[plan.table].limited.refused(want, now);  // the claim had to be made without them
    } else {
      tables_[plan.table].limited.answered(want, *answer, now);
    }
  }
}

void Claimer::permits_freed(std::size_t table, std::string_view queue) {
  if (!queues_.contains(queue)) return;
  tables_[table].limited.walk_now(queue, state_.clock.mono());
}

void Claimer::permits_freed(std::size_t table) {
  tables_[table].limited.woken(state_.clock.mono());
  if (due_rung_) due_rung_();
}

void Claimer::limits_changed() {
  state_.limits = true;  // the next beat knows
  ++state_.limits_told;
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    tables_[i].limited.rules(has_limits(i), state_.clock.mono());
    tables_[i].limited.woken(state_.clock.mono());
  }
  if (due_rung_) due_rung_();
}

}  // namespace rowcrew
