#include "runtime/pauses.hpp"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kPollListening = 10min;  // pauses are announced, and heartbeats tell of them
constexpr std::size_t kPage = 1'000;
constexpr auto kSuspectDelay = 30s;
}  // namespace

Pauses::Pauses(NodeState& state, Completer& completer, std::function<void()> changed)
    : state_(state), completer_(completer), changed_(std::move(changed)), wake_(state.executor, state.clock) {}

asio::awaitable<void> Pauses::run() {
  for (;;) {
    const std::chrono::milliseconds poll = state_.config.listen ? kPollListening : std::min(state_.config.poll_every, 1'000ms);
    next_ = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(poll * (0.5 + 0.5 * state_.random.unit()));
    if (state_.holds_lease()) {
      try {
        co_await look();
        for (std::size_t table = 0; table < state_.tables.size(); ++table) {
          if (state_.tables[table]->serving()) co_await release(table);
        }
        state_.worked("pauses", "");
      } catch (const Error& e) {
        state_.failed("pauses", "", event::kPauseChanged, e);
        next_ = std::min(next_, state_.clock.mono() + 1s);
      }
    } else {
      looked_ = false;
      next_ = state_.clock.mono() + 200ms;
    }
    co_await wake_.wait_until(next_);
  }
}

asio::awaitable<void> Pauses::look() {
  const Rows rows = co_await state_.db.query(sql::pause_active, Params{});
  std::set<std::string, std::less<>> queues;
  std::set<std::string, std::less<>> keys;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string name(rows.text(i, 1));
    if (rows.text(i, 0) == "queue") {
      queues.insert(name);
    } else if (rows.text(i, 0) != "key") {  // of a paused key nothing is claimed
      keys.insert(std::string(rows.text(i, 0)) + ":" + name);
    }
    if (rows.is_null(i, 2)) continue;
    const auto left = std::min<std::chrono::milliseconds>(std::chrono::milliseconds(rows.integer(i, 2)) + 10ms, 1h);
    next_ = std::min(next_, state_.clock.mono() + left);
  }
  const bool queues_changed = queues != state_.paused;
  if (queues_changed || keys != keys_) {
    state_.log.info(event::kPauseChanged, {{"queues", queues.size()}, {"types_and_tenants", keys.size()}});
  }
  looked_ = true;
  state_.paused = std::move(queues);
  keys_ = std::move(keys);
  if (queues_changed) changed_();
}

asio::awaitable<void> Pauses::release(std::size_t table) {
  TableState& state = *state_.tables[table];
  const std::vector<std::string> held = co_await state.control.held_keys();
  for (const std::string& key : held) {
    if (keys_.contains(key)) continue;
    std::uint64_t moved = kPage;
    std::uint64_t all = 0;
    while (moved >= kPage) {
      moved = co_await state.control.release(key, kPage);
      all += moved;
    }
    if (all > 0) state_.log.info(event::kJobUnheld, {{"table", state.table.name()}, {"key", key}, {"jobs", all}});
  }
}

asio::awaitable<void> Pauses::hold(std::size_t table, std::vector<ClaimedJob>& claimed) {
  if (claimed.empty()) co_return;
  TableState& state = *state_.tables[table];
  try {
    if (!looked_) co_await look();  // the first claim may be quicker than the first look
  } catch (const Error& e) {
    state_.log.debug(event::kPauseChanged, {{"code", e.code()}}, e.what());
  }
  if (keys_.empty()) co_return;
  std::vector<std::string> ids;
  for (const ClaimedJob& job : claimed) ids.push_back(job.job.id);
  std::vector<std::string> found;
  try {
    found = co_await state.control.paused_among(std::move(ids));
  } catch (const Error& e) {
    state_.log.debug(event::kJobHeld, {{"code", e.code()}}, e.what());  // as if they had been claimed before the pause
  }
  if (found.empty()) co_return;
  const std::unordered_set<std::string> paused(found.begin(), found.end());
  const auto first = std::stable_partition(claimed.begin(), claimed.end(), [&](const ClaimedJob& job) { return !paused.contains(job.job.id); });
  std::vector<Job> jobs;
  std::set<std::string> queues;
  for (auto at = first; at != claimed.end(); ++at) {
    queues.insert(at->job.queue);
    jobs.push_back(std::move(at->job));
  }
  claimed.erase(first, claimed.end());
  co_await lay_aside(table, std::move(jobs));
  // There are likely to be more: out of the way of the next claims, without a write to the jobs.
  try {
    for (const std::string& queue : queues) co_await state.control.shelve(queue, kPage);
  } catch (const Error& e) {
    state_.log.debug(event::kJobHeld, {{"code", e.code()}}, e.what());
  }
}

asio::awaitable<void> Pauses::lay_aside(std::size_t table, std::vector<Job> jobs) {
  TableState& state = *state_.tables[table];
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.id < b.id; });
  std::vector<std::string> ids;
  std::vector<std::int64_t> tokens;
  std::map<std::int64_t, std::size_t> per_token;
  for (const Job& job : jobs) {
    ids.push_back(job.id);
    tokens.push_back(job.claim_token);
    ++per_token[job.claim_token];
  }
  const std::vector<std::int64_t> dropped = state.ledger.ending_with(per_token);
  // A suspect is filed among the suspects again, whatever is paused: it is looked at less often.
  const bool suspects = std::any_of(jobs.begin(), jobs.end(), [](const Job& job) { return job.crashes > 1; });
  bool done = false;
  try {
    if (suspects) {
      co_await state.table.park_unserved(jobs, dropped, kSuspectDelay);
    } else {
      co_await state.control.hold(ids, tokens, dropped);
    }
    done = true;
  } catch (const Error& e) {
    state_.log.debug(event::kJobHeld, {{"code", e.code()}}, e.what());
  }
  if (!done) {  // the completer repeats it until the database answers
    for (Job& job : jobs) {
      EndedJob back;
      back.ending = released(job);
      back.job = std::move(job);
      completer_.add(table, std::move(back));
    }
    co_return;
  }
  for (const auto& [token, count] : per_token) {
    state.ledger.ended(token, count, std::find(dropped.begin(), dropped.end(), token) != dropped.end());
  }
  state_.log.debug(event::kJobHeld, {{"table", state.table.name()}, {"jobs", ids.size()}}, "paused: laid aside");
  wake_.ring();  // the pause may have ended while they were on their way: then nobody else looks for them
}

}  // namespace rowcrew
