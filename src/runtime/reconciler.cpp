#include "runtime/reconciler.hpp"

#include <algorithm>
#include <set>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;

Reconciler::Reconciler(NodeState& state, const Completer& completer)
    : state_(state), completer_(completer), wake_(state.executor, state.clock) {}

asio::awaitable<void> Reconciler::run() {
  for (;;) {
    if (state_.holds_lease()) {
      try {
        for (std::size_t table = 0; table < state_.tables.size(); ++table) {
          if (!state_.tables[table]->broken()) co_await reconcile(table);
        }
      } catch (const Error& e) {
        state_.log.debug(event::kClaimReconciled, {{"code", e.code()}}, e.what());
      }
    }
    const auto pause = state_.config.reconcile_every * (0.75 + 0.5 * state_.random.unit());
    co_await wake_.wait_until(state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(pause));
  }
}

asio::awaitable<void> Reconciler::reconcile(std::size_t table) {
  co_await hand_back_orphans(table);
  co_await stop_lost(table);
}

asio::awaitable<void> Reconciler::hand_back_orphans(std::size_t table) {
  TableState& state = *state_.tables[table];
  const NodeIdentity identity = state_.identity;
  const std::vector<ClaimRow> rows = co_await state.table.own_claims(identity);
  // What still runs although its claim was given up (a lease that came back) ends first.
  std::set<std::int64_t> running;
  for (const Job& job : state_.running.jobs_of(table)) running.insert(job.claim_token);
  for (const ClaimRow& row : rows) {
    const auto removable = state.ledger.removable();
    if (std::find(removable.begin(), removable.end(), row.token) != removable.end()) continue;
    if (state.ledger.knows(row.token) || running.contains(row.token) || completer_.holds(table, row.token)) continue;
    const std::size_t jobs = co_await state.table.hand_back(row.token, identity.node_id);
    if (jobs == 0) continue;
    state_.log.warning(event::kClaimReconciled, {{"table", state.table.name()}, {"jobs", jobs}},
                       "a claim whose answer never arrived was handed back");
  }
}

asio::awaitable<void> Reconciler::stop_lost(std::size_t table) {
  TableState& state = *state_.tables[table];
  std::vector<Job> running = state_.running.jobs_of(table);
  if (running.empty()) co_return;
  const auto lost = co_await state.table.lost_running(std::move(running));
  for (const auto& [id, now] : lost) {
    state_.log.warning(event::kJobClaimLost, {{"job", id}, {"status", now}}, "the row was changed while the job ran: stopping it");
    state_.running.stop_one(table, id, StopReason::claim_lost);
  }
}

}  // namespace rowcrew
