#include "runtime/reconciler.hpp"

#include <algorithm>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
constexpr std::chrono::milliseconds kAgain{250};
}  // namespace

Reconciler::Reconciler(NodeState& state, const Completer& completer, Claimer& claimer)
    : state_(state), completer_(completer), claimer_(claimer), looks_(kMostTables),
      wake_(state.executor, state.clock) {}

asio::awaitable<void> Reconciler::run() {
  bool rung = true;
  for (;;) {
    bool failed = false;
    if (state_.holds_lease()) {
      try {
        for (std::size_t table = 0; table < state_.tables.size(); ++table) {
          if (state_.tables[table]->broken()) continue;
          if (rung || worth_a_look(table)) co_await reconcile(table);
        }
        state_.worked("reconciliation", "");
      } catch (const Error& e) {
        state_.failed("reconciliation", "", event::kClaimReconciled, e);
        failed = true;
      }
    }
    const bool soon = rung && failed;  // what it was rung for is still to be done
    const auto pause = (soon ? std::min(kAgain, state_.config.reconcile_every) : state_.config.reconcile_every) *
                       (0.75 + 0.5 * state_.random.unit());
    const bool woken = co_await wake_.wait_until(state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(pause));
    rung = soon || woken;
  }
}

/// A node that holds nothing, and for a while has had an answer to each claim, has nothing to compare; now and then it
/// looks all the same.
bool Reconciler::worth_a_look(std::size_t table) {
  const ClaimLedger& ledger = state_.tables[table]->ledger;
  Look& last = looks_[table];
  const Mono now = state_.clock.mono();
  if (ledger.forgotten() != last.forgotten) last.changed = now;
  last.forgotten = ledger.forgotten();
  const bool rests = ledger.held() == 0 && now > last.changed + std::chrono::seconds(30);
  if (rests && now < last.at + std::chrono::minutes(10)) return false;
  last.at = now;
  return true;
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
                       "a claim that nobody here knew was handed back: its answer never arrived, or it was given up with the lease");
  }
}

asio::awaitable<void> Reconciler::stop_lost(std::size_t table) {
  TableState& state = *state_.tables[table];
  std::vector<Job> running = state_.running.jobs_of(table);
  for (Job& job : claimer_.local().jobs_of(table)) running.push_back(std::move(job));
  if (running.empty()) co_return;
  const auto lost = co_await state.table.lost_running(std::move(running));
  std::set<std::string> completed;
  for (const auto& [id, token, now] : lost) {
    if (claimer_.drop_local(table, token, id)) continue;
    if (!state_.running.runs(table, token, id)) continue;  // it ended while we asked
    // So does one whose own transaction ended it, when the answer to that commit is under way: it gets until the next look.
    if (now == "completed" && completed.insert(id).second && !looks_[table].completed.contains(id)) continue;
    state_.log.warning(event::kJobClaimLost, {{"job", state.table.label(id)}, {"status", now}}, "the row was changed while the job ran: stopping it");
    state_.running.stop_one(table, token, id, StopReason::claim_lost);
  }
  looks_[table].completed = std::move(completed);
}

}  // namespace rowcrew
