// The claimer's search for a job that keeps others from being claimed: what the application wrote into its row,
// or a rule of the application about it, makes the database refuse every claim that it is part of.
#include <exception>
#include <optional>
#include <utility>

#include "base/event.hpp"
#include "queue/refusal_search.hpp"
#include "runtime/claimer.hpp"
#include "runtime/table_door.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::size_t kMostSearched = 500;
constexpr auto kUnclaimableDelay = 10min;  // what is wrong with the row may be mended by then
constexpr std::chrono::milliseconds kLongestWaitForSlot = 1s;
constexpr std::size_t kRefusalsBefore = 2;  // a claim that meets another one may be refused once
}  // namespace

bool Claimer::suspects_one_job(std::size_t& refusals, const Error& error) const {
  return tells_of_a_row(error) && ++refusals >= kRefusalsBefore;
}

/// How many slots are free for it, once one is. 0: none became free in time.
asio::awaitable<std::size_t> Claimer::room_for(const std::string& queue) {
  const Mono until = state_.clock.mono() + kLongestWaitForSlot;
  for (;;) {
    for (const ClaimWant& want : free_slots()) {
      if (want.queue == queue) co_return want.count;
    }
    if (state_.clock.mono() >= until) co_return 0;
    slot_awaited_ = true;
    co_await wake_.wait_until(until);
    slot_awaited_ = false;
  }
}

/// Those of a queue whose hints a claim meets first: one by one where needed, the refused ones laid aside.
asio::awaitable<void> Claimer::search(std::size_t table, Hints hints, std::string queue) {
  TableState& state = *state_.tables[table];
  const std::vector<std::string> queues{queue};
  std::vector<std::string> first;
  if (hints == Hints::ready) {
    first = co_await state.table.first_hints(queue, kMostSearched);
  } else {
    first = co_await state.table.first_survivors(queues, "rescued", kMostSearched);
  }
  RefusalSearch of(std::move(first));
  std::size_t refused = 0;
  std::string named;
  std::optional<DbError> last;
  while (!of.done()) {
    const std::size_t room = co_await room_for(queue);
    if (room == 0 || !state_.may_claim() || !state.serving()) break;
    std::vector<std::string> ids = of.next(room);
    std::optional<DbError> error;
    try {
      co_await claim_listed(table, hints, queue, ids);
    } catch (const DbError& e) {
      if (!tells_of_a_row(e)) throw;
      error = e;
    }
    if (!error) {
      of.passed();
      continue;
    }
    const std::optional<std::string> id = of.refused();
    if (!id) continue;
    co_await state.table.park_unclaimable(*id, queues, kUnclaimableDelay, error->what());
    ++refused;
    if (named.empty()) named = *id;
    last = std::move(error);
  }
  if (!last) co_return;
  state_.log.error(event::kJobUnclaimable, {{"table", state.table.name()}, {"job", state.table.label(named)}, {"jobs", refused}, {"queue", queue},
                                            {"code", last->code()}, {"again_s", std::chrono::seconds(kUnclaimableDelay).count()}},
                   last->what());
}

/// Throws DbError as the claim does; what it has claimed runs.
asio::awaitable<void> Claimer::claim_listed(std::size_t table, Hints hints, const std::string& queue, std::vector<std::string> ids) {
  TableState& state = *state_.tables[table];
  const NodeIdentity node = state_.identity;
  const std::size_t n = ids.size();
  ClaimWant want;
  want.queue = queue;
  want.count = n;
  std::vector<ClaimWant> wants;
  wants.push_back(std::move(want));
  std::vector<std::int64_t> tokens;
  for (std::size_t i = 0; i < (hints == Hints::ready ? 1 : n); ++i) tokens.push_back(state_.new_token());
  const auto on_its_way = on_their_way_;
  for (const std::int64_t token : tokens) state.ledger.sending(token);
  queues_.find(queue)->second.asked += n;
  std::vector<ClaimedJob> claimed;
  std::exception_ptr failure;
  try {
    if (hints == Hints::ready) {
      claimed = co_await state.table.claim_listed(tokens.front(), node, std::move(wants), std::move(ids));
    } else {
      std::optional<std::vector<std::string>> only = std::move(ids);
      claimed = co_await state.table.claim_rescued(tokens, node, std::move(wants), std::move(only));
    }
  } catch (const Error&) {
    failure = std::current_exception();
  }
  queues_.find(queue)->second.asked -= n;
  for (const std::int64_t token : tokens) {
    if (failure) {
      state.ledger.unknown(token);
    } else {
      state.ledger.unused(token);
    }
  }
  if (failure) std::rethrow_exception(failure);
  std::map<std::int64_t, std::size_t> per_token;
  for (const ClaimedJob& job : claimed) ++per_token[job.job.claim_token];
  for (const auto& [token, jobs] : per_token) state.ledger.claimed(token, jobs);
  found_something_ = found_something_ || !claimed.empty();
  accept(table, node.epoch, std::move(claimed));
}

asio::awaitable<void> Claimer::search_ready(std::size_t table) {
  Table& of = tables_[table];
  try {
    const std::vector<std::string> queues = open_queues();
    for (const std::string& queue : queues) co_await search(table, Hints::ready, queue);
    of.pacer.mended(state_.clock.mono());
  } catch (const Error& e) {
    claim_failed("claims", table, e);
  }
  of.refusals = kRefusalsBefore - 1;  // another refusal, another search
  of.searching = false;
  if (due_rung_) due_rung_();
}

asio::awaitable<void> Claimer::search_rescued(std::size_t table) {
  tables_[table].rescued_refusals = 0;
  tables_[table].rescued_searching = false;
  try {
    const std::vector<std::string> queues = open_queues();
    for (const std::string& queue : queues) co_await search(table, Hints::rescued, queue);
  } catch (const Error& e) {
    claim_failed("claims of rescued jobs", table, e);
  }
}

/// Suspects are claimed one by one: it was the first.
asio::awaitable<void> Claimer::lay_aside_suspect(std::size_t table, DbError error) {
  TableState& state = *state_.tables[table];
  try {
    const std::vector<std::string> queues = open_queues();
    const std::vector<std::string> first = co_await state.table.first_survivors(queues, "suspect", 1);
    if (first.empty()) co_return;
    co_await state.table.park_unclaimable(first.front(), queues, kUnclaimableDelay, error.what());
    state_.log.error(event::kJobUnclaimable, {{"table", state.table.name()}, {"job", state.table.label(first.front())}, {"code", error.code()}}, error.what());
  } catch (const Error& e) {
    claim_failed("claims of suspects", table, e);
  }
}

}  // namespace rowcrew
