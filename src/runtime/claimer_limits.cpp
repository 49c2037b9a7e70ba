// The claimer's part in limits. Jobs that hold permits go ahead of free slots only where permits are plenty, no others
// wait for these slots, and what is claimed ahead by so much is expected to start within two round trips.
#include <algorithm>

#include "runtime/claimer.hpp"

namespace rowcrew {

std::size_t Claimer::free_of(const std::string& queue, const Queue& state) const {
  const std::size_t all = state_.slots.free(queue);
  const std::size_t taken = coming(queue, state) + kept_for_rescued(state);
  return all > taken ? all - taken : 0;
}

/// What to ask for of jobs that rules are about.
std::size_t Claimer::limited_room(std::size_t table, const std::string& queue, const Queue& state, std::size_t free) const {
  if (permits_ahead(table, queue, state)) return std::min(most_per_claim(table), ask_ahead(queue, state));
  return std::min(most_per_claim(table), tables_[table].limited.batch(queue, free, state.slots, state.prefetch.depth(state.slots)));
}

bool Claimer::permits_ahead(std::size_t table, const std::string& queue, const Queue& state) const {
  return has_limits() && !state.others && state.prefetch.depth(state.slots) > 0 && tables_[table].limited.ahead(queue, state_.clock.mono());
}

Mono Claimer::limited_due(std::size_t table) const {
  Mono due = Mono::max();
  for (const auto& [name, queue] : queues_) {
    const std::size_t room = limited_room(table, name, queue, free_of(name, queue));
    if (room == 0 || closed(name)) continue;
    due = std::min(due, tables_[table].limited.due(name, room));
  }
  return due;
}

/// Where jobs of both sorts are asked for each sort gets a half, and the others a few where there were none.
void Claimer::add_limited(ClaimPlan& plan, bool others, const Freed& freed) {
  LimitedPacer& pacer = tables_[plan.table].limited;
  for (auto& [name, queue] : queues_) {
    if (closed(name)) continue;
    std::size_t free = free_of(name, queue);
    // What was filed while somebody was awake was not announced: a look at the ready jobs is one at these, too.
    if (others && !pacer.waits(name)) pacer.glance(name, plan.sent);
    const auto other = std::find_if(plan.wants.begin(), plan.wants.end(), [&](const ClaimWant& w) { return w.queue == name; });
    const auto ends = freed.find(name);
    const std::size_t back = ends == freed.end() ? 0 : ends->second;
    const bool ahead = permits_ahead(plan.table, name, queue);  // then the few others that are asked for take nobody's slot
    if (other != plan.wants.end() && !ahead && pacer.waits(name) && pacer.asks(name, limited_room(plan.table, name, queue, free), back, plan.sent)) {
      other->count = std::min(other->count, free - pacer.share(name, free));
      if (!queue.others) other->count = std::min(other->count, 1 + free / 16);
      free -= other->count;
      if (other->count == 0) plan.wants.erase(other);
    }
    auto want = pacer.want(name, limited_room(plan.table, name, queue, free), free, back, plan.sent);
    if (!want) continue;
    queue.asked += want->count;
    const std::size_t groups = LimitedPacer::kMostGroups + back;
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
  for (const std::int64_t token : plan.limited_tokens) state.ledger.unused(token);
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
  state_.limits = true;  // the next beat knows, and about which queues they are
  for (const auto& [name, queue] : queues_) state_.limited_queues.insert(name);
  ++state_.limits_told;
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    tables_[i].limited.rules(state_.limited_queues, state_.clock.mono());
    tables_[i].limited.woken(state_.clock.mono());
  }
  if (due_rung_) due_rung_();
}

}  // namespace rowcrew
