#include "runtime/maintainer.hpp"

#include <algorithm>
#include <optional>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::int64_t kPagesPerPass = 2'048;  // 16 MB
constexpr int kForgetPage = 1'000;
}  // namespace

Maintainer::Maintainer(NodeState& state, std::function<void()> healed)
    : state_(state), healed_(std::move(healed)), next_page_(kMostTables, 0), suspicious_(kMostTables) {}

asio::awaitable<void> Maintainer::run() {
  Mono next_forget{};
  for (;;) {
    // Never more than a twentieth of a core, however large the tables are.
    const auto pause = std::max<MonoClock::duration>(
        std::chrono::duration_cast<MonoClock::duration>(state_.config.audit_every * (0.75 + 0.5 * state_.random.unit())),
        audit_took_ * 20);
    co_await state_.clock.sleep_until(state_.clock.mono() + pause);
    if (!state_.may_claim()) continue;
    try {
      const Mono began = state_.clock.mono();
      for (std::size_t table = 0; table < state_.tables.size(); ++table) {
        if (state_.tables[table]->serving()) co_await audit(table);
      }
      audit_took_ = state_.clock.mono() - began;
      if (state_.clock.mono() >= next_forget) {
        next_forget = state_.clock.mono() + 1h;
        co_await forget();
      }
    } catch (const Error& e) {
      state_.log.debug(event::kHintHealed, {{"code", e.code()}}, e.what());
    }
  }
}

asio::awaitable<void> Maintainer::audit(std::size_t table) {
  JobTable& jobs = state_.tables[table]->table;
  // What was found last time and still lacks a hint now was no matter of timing.
  if (!suspicious_[table].empty()) {
    const std::vector<std::string> healed = co_await jobs.audit_heal(suspicious_[table]);
    suspicious_[table].clear();
    for (const std::string& id : healed) {
      state_.log.error(event::kHintHealed, {{"job", id}, {"table", jobs.name()}},
                       "a waiting job had no hint, or a running one no claim: it was filed again");
    }
    if (!healed.empty()) healed_();
  }
  const std::int64_t pages = co_await jobs.audit_pages();
  if (next_page_[table] >= pages) next_page_[table] = 0;
  suspicious_[table] = co_await jobs.audit_find(next_page_[table], kPagesPerPass);
  next_page_[table] += kPagesPerPass;
}

asio::awaitable<void> Maintainer::forget() {
  Params weeks;
  weeks.add(4);
  co_await state_.db.query(sql::node_ensure_partitions, std::move(weeks));
  co_await state_.db.query(sql::node_forget_dead, Params{});
  const std::vector<const Statement*> paged{&sql::node_expire_once_keys, &sql::schedule_forget_ticks, &sql::control_forget};
  for (const Statement* statement : paged) {
    std::uint64_t removed = kForgetPage;
    while (removed >= kForgetPage) {
      Params page;
      page.add(kForgetPage);
      const Rows rows = co_await state_.db.query(*statement, std::move(page));
      removed = rows.affected();
    }
  }
}

}  // namespace rowcrew
