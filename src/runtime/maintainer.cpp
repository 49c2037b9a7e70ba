#include "runtime/maintainer.hpp"

#include <algorithm>
#include <utility>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::int64_t kPagesPerPass = 2'048;  // 16 MB
constexpr std::int64_t kPagesOfWhole = 16'384;  // each pass over a part reads all hints, of which there may be millions
constexpr auto kWorkFirst = 2s;  // after a start or a failover: what is known to wait comes before what might
constexpr std::int64_t kHintPagesPerPass = 256;  // 2 MB: each hint is one look at its job
constexpr int kForgetPage = 1'000;
constexpr std::ptrdiff_t kHealPage = 1'000;
constexpr std::size_t kNamed = 10;
constexpr auto kForgetKeysFor = 5s;
}  // namespace

Maintainer::Maintainer(NodeState& state, std::function<void()> healed)
    : state_(state), healed_(std::move(healed)), wake_(state.executor, state.clock), next_page_(kMostTables, 0), next_ready_(kMostTables, 0), next_hints_(kMostTables, 0),
      suspicious_(kMostTables), changes_(kMostTables, -1), clean_pages_(kMostTables, 0) {}

void Maintainer::audit_everything() {
  if (!everything_) everything_from_ = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(kWorkFirst * (1 + state_.random.unit()));
  everything_ = true;
  wake_.ring();
}

asio::awaitable<void> Maintainer::run() {
  for (;;) {
    // Never more than a twentieth of a core, however large the tables are.
    const auto pause = std::max<MonoClock::duration>(
        std::chrono::duration_cast<MonoClock::duration>(state_.config.audit_every * (0.75 + 0.5 * state_.random.unit())),
        audit_took_ * 20);
    const bool quiet = !changed_;
    const Mono until = state_.clock.mono() + pause * (quiet ? 3 : 1);
    bool rung = false;
    if (!everything_) rung = co_await wake_.wait_until(until);
    if (everything_) co_await state_.clock.sleep_until(everything_from_);
    if (!state_.may_claim()) {
      if (everything_) co_await state_.clock.sleep_until(state_.clock.mono() + 100ms);
      continue;
    }
    bool failed = false;
    try {
      if (everything_) {
        co_await audit_whole_tables();
      } else if (!rung && (state_.leads() || !state_.all_led())) {
        co_await audit_pieces();
      }
      state_.worked("audits", "");
    } catch (const Error& e) {
      state_.failed("audits", "", event::kHintHealed, e);
      failed = true;
    }
    if (failed && everything_) co_await state_.clock.sleep_until(state_.clock.mono() + 1s);
  }
}

asio::awaitable<void> Maintainer::audit_pieces() {
  const Mono began = state_.clock.mono();
  changed_ = false;
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (!state_.tables[table]->serving() || !state_.leads(*state_.tables[table])) continue;
    co_await audit_piece(table);
    if (!state_.tables[table]->adopted) co_await drop_ended(table);
  }
  if (state_.leads() && began >= keys_forgotten_ + (state_.limits ? 1min : 60min)) {
    keys_forgotten_ = began;
    co_await forget_keys();
  }
  audit_took_ = state_.clock.mono() - began;
  if (!state_.leads() || state_.clock.mono() < next_forget_) co_return;
  next_forget_ = state_.clock.mono() + 1h;
  co_await forget();
}

/// Also where there are no limits any more: those of before leave keys behind. A walk that takes long goes on next time.
asio::awaitable<void> Maintainer::forget_keys() {
  const Mono until = state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(kForgetKeysFor);
  std::int64_t wrong = 0;
  try {
    do {
      Params page;
      page.add(next_key_);
      const Rows seen = co_await state_.db.query(sql::node_forget_keys, std::move(page));
      wrong += seen.integer(0, 0);
      next_key_.reset();
      if (!seen.is_null(0, 1)) next_key_.emplace(seen.text(0, 1));
    } while (next_key_ && state_.clock.mono() < until);
    state_.worked("maintenance", sql::node_forget_keys.name);
  } catch (const Error& e) {
    state_.failed("maintenance", sql::node_forget_keys.name, event::kHintHealed, e);
  }
  if (wrong > 0) {
    state_.log.error(event::kHintHealed, {{"keys", wrong}},
                     "permits of limits did not add up: they were put right. Were claims removed past the triggers?");
  }
}

asio::awaitable<void> Maintainer::audit_piece(std::size_t table) {
  JobTable& jobs = state_.tables[table]->table;
  // What was found last time and still lacks a hint now was no matter of timing.
  co_await heal(table, std::exchange(suspicious_[table], {}));
  const JobTable::Extent extent = co_await jobs.audit_pages();
  // A whole clean walk over a table that has not changed since needs no other, but results grow old there too.
  const bool same = extent.changes == changes_[table];
  const bool clean = same && clean_pages_[table] >= extent.pages;
  // An adopted table's results are its application's.
  const bool expire = state_.job_types.results_expire() && !state_.tables[table]->adopted;
  if (clean && !expire) co_return;
  if (!same) clean_pages_[table] = 0;
  changes_[table] = extent.changes;
  if (next_page_[table] >= extent.pages) next_page_[table] = 0;
  if (!clean) {
    changed_ = true;
    suspicious_[table] = co_await jobs.audit_find(next_page_[table], kPagesPerPass);
  }
  if (expire) co_await state_.tables[table]->control.expire_results(next_page_[table], kPagesPerPass);
  next_page_[table] += kPagesPerPass;
  if (!clean) clean_pages_[table] = suspicious_[table].empty() ? clean_pages_[table] + kPagesPerPass : 0;
}

asio::awaitable<void> Maintainer::drop_ended(std::size_t table) {
  JobControl& control = state_.tables[table]->control;
  const std::int64_t ready = co_await control.drop_unclaimed(next_ready_[table], kHintPagesPerPass);
  next_ready_[table] += kHintPagesPerPass;
  if (next_ready_[table] >= ready) next_ready_[table] = 0;
  if (!state_.limits) co_return;
  const std::int64_t pages = co_await control.drop_ended(next_hints_[table], kHintPagesPerPass);
  next_hints_[table] += kHintPagesPerPass;
  if (next_hints_[table] >= pages) next_hints_[table] = 0;
}

asio::awaitable<void> Maintainer::audit_whole_tables() {
  for (std::size_t table = 0; table < state_.tables.size(); ++table) {
    if (!state_.tables[table]->serving()) continue;
    Params params;
    params.add(state_.tables[table]->table.name()).add(state_.identity.node_id);
    const Rows ours = co_await state_.db.query(sql::node_begin_audit, std::move(params));
    if (!ours.empty()) co_await audit_whole(table);
  }
  everything_ = false;
}

/// Heals at once: nobody has filed these, and the heal itself looks again under a lock.
asio::awaitable<void> Maintainer::audit_whole(std::size_t table) {
  JobTable& jobs = state_.tables[table]->table;
  const JobTable::Extent extent = co_await jobs.audit_pages();
  const std::int64_t pages = extent.pages;
  for (std::int64_t page = 0; page < pages; page += kPagesOfWhole) {
    const Mono began = state_.clock.mono();
    std::vector<std::string> missing = co_await jobs.audit_find(page, kPagesOfWhole);
    co_await heal(table, std::move(missing));
    // A quarter of a core at most.
    co_await state_.clock.sleep_until(state_.clock.mono() + (state_.clock.mono() - began) * 3);
  }
}

asio::awaitable<void> Maintainer::heal(std::size_t table, std::vector<std::string> ids) {
  JobTable& jobs = state_.tables[table]->table;
  for (auto first = ids.begin(); first != ids.end();) {
    const auto last = first + std::min<std::ptrdiff_t>(kHealPage, ids.end() - first);
    const std::vector<std::string> healed = co_await jobs.audit_heal(std::vector<std::string>(first, last));
    first = last;
    if (healed.empty()) continue;
    // Each by name when something is amiss; a restore without triggers is one story.
    const std::size_t named = healed.size() <= kNamed ? healed.size() : 0;
    for (std::size_t i = 0; i < named; ++i) {
      state_.log.error(event::kHintHealed, {{"job", jobs.label(healed[i])}, {"table", jobs.name()}},
                       "a waiting job had no hint, or a running one no claim: it was filed again");
    }
    if (named == 0) {
      state_.log.error(event::kHintHealed, {{"jobs", healed.size()}, {"table", jobs.name()}},
                       "waiting jobs had no hints, or running ones no claims: they were filed again. Were they "
                       "written past the triggers (a restore, replication)?");
    }
    healed_();
  }
}

asio::awaitable<void> Maintainer::forget() {
  Params weeks;
  weeks.add(4);
  co_await tidy(sql::node_ensure_partitions, std::move(weeks));
  co_await tidy(sql::node_forget_dead, Params{});
  co_await tidy(sql::node_hurry_retention, Params{});
  const std::vector<const Statement*> paged{&sql::node_expire_once_keys, &sql::schedule_forget_ticks, &sql::control_forget,
                                            &sql::progress_forget};
  for (const Statement* statement : paged) {
    Params page;
    page.add(kForgetPage);
    co_await tidy(*statement, std::move(page));
  }
}

/// Page by page, where the statement takes pages. One that fails keeps no other from its work.
asio::awaitable<void> Maintainer::tidy(const Statement& statement, Params params) {
  try {
    std::uint64_t removed = kForgetPage;
    while (removed >= kForgetPage) {
      Params page = params;
      const Rows rows = co_await state_.db.query(statement, std::move(page));
      removed = rows.affected();
    }
    state_.worked("maintenance", statement.name);
  } catch (const Error& e) {
    state_.failed("maintenance", statement.name, event::kHintHealed, e);
  }
}

}  // namespace rowcrew
