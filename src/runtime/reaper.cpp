#include "runtime/reaper.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/event.hpp"
#include "queue/refusal_search.hpp"
#include "runtime/table_door.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kLeftOut = 10min;
constexpr std::size_t kMostAtOnce = 1'000;

/// Whether less at once may be rescued although this was refused.
bool goes_in_pieces(const Error& error) {
  const auto* db = dynamic_cast<const DbError*>(&error);
  return db != nullptr && (tells_of_a_row(*db) || tells_of_overdue(*db));
}

}  // namespace

Reaper::Reaper(NodeState& state, std::function<void()> rescued)
    : state_(state), rescued_(std::move(rescued)), wake_(state.executor, state.clock) {}

asio::awaitable<void> Reaper::run() {
  bool rung = true;
  for (;;) {
    // Also without a death seen here: a claim may commit after its node was reaped. The leader is told.
    if (state_.holds_lease()) {
      for (const auto& table : state_.tables) {
        if (!table->broken() && (rung || !state_.led(*table))) co_await reap_table(table->table);
      }
    }
    const auto pause = state_.config.lease * (0.3 + 0.2 * state_.random.unit());
    rung = co_await wake_.wait_until(state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(pause));
  }
}

asio::awaitable<void> Reaper::reap_table(JobTable& table) {
  bool refused = false;
  std::int64_t last = 0;  // a claim whose rows are locked stays for the next pass
  for (;;) {
    bool failed = false;
    bool search = false;
    std::optional<PortError> refusal;
    ReapedPage page;
    JobTable::Rescued which;
    which.but = left_out(table);
    std::shared_ptr<const EndedPorts> ports;
    if (!refused) ports = state_.ports.ended();
    try {
      page = co_await table.reap(state_.config.max_crashes, last, ports, std::move(which));
    } catch (const PortError& e) {
      refusal = e;
    } catch (const Error& e) {
      state_.failed("rescue", table.name(), event::kClaimFailed, e);
      failed = true;
      search = goes_in_pieces(e);
    }
    if (search) {
      const bool further = co_await reap_in_pieces(table, last);
      if (further) continue;  // the page without them
    }
    if (refusal) {
      state_.log.error(event::kPortFailed, {{"table", table.name()}, {"code", refusal->code()}}, refusal->what());
      if (refusal->error_class() == ErrorClass::transient) co_return;  // the next pass
      refused = true;  // a port must not keep jobs from being rescued: poison ends without it
      continue;
    }
    refused = false;
    if (failed) co_return;
    state_.worked("rescue", table.name());
    if (page.last_token == 0) co_return;
    last = page.last_token;
    report(table, page);
    if (!page.jobs.empty()) rescued_();
  }
}

/// Of the page after this claim: as many at once as the database lets through, in its time. A port that refuses is not
/// told. What is too long even alone is left out as what is refused. Whether anything was rescued, or left out.
asio::awaitable<bool> Reaper::reap_in_pieces(JobTable& table, std::int64_t after) {
  bool further = false;
  try {
    std::vector<std::string> ids = co_await table.dead_claims(after);
    RefusalSearch search(std::move(ids));
    std::shared_ptr<const EndedPorts> ports = state_.ports.ended();
    StatementSize& size = sizes_[table.name()];
    while (!search.done() && state_.holds_lease() && !state_.stopping) {
      JobTable::Rescued which;
      which.but = left_out(table);
      which.only = search.next(std::min(kMostAtOnce, size.most()));
      const std::size_t jobs = which.only->size();
      const Mono sent = state_.clock.mono();
      std::optional<DbError> error;
      ReapedPage page;
      try {
        page = co_await table.reap(state_.config.max_crashes, after, ports, std::move(which));
      } catch (const PortError& e) {
        if (e.error_class() == ErrorClass::transient) throw;
        ports = nullptr;
        continue;
      } catch (const DbError& e) {
        if (!goes_in_pieces(e)) throw;
        error = e;
      }
      if (error && tells_of_overdue(*error)) size.overdue(jobs, state_.clock.mono() - sent);
      if (!error) {
        size.answered(state_.clock.mono() - sent);
        search.passed();
        report(table, page);
        if (!page.jobs.empty()) rescued_();
        further = further || !page.jobs.empty();
      } else if (const auto id = search.refused()) {
        further = true;
        left_out_[table.name()][*id] = state_.clock.mono() + kLeftOut;
        state_.log.error(event::kJobUnwritable, {{"table", table.name()}, {"job", table.label(*id)}, {"code", error->code()},
                                                 {"again_s", std::chrono::seconds(kLeftOut).count()}}, error->what());
      }
    }
  } catch (const Error& e) {
    state_.failed("rescue", table.name(), event::kClaimFailed, e);
  }
  co_return further;
}

std::vector<std::string> Reaper::left_out(const JobTable& table) {
  auto& of = left_out_[table.name()];
  std::erase_if(of, [now = state_.clock.mono()](const auto& entry) { return entry.second <= now; });
  std::vector<std::string> ids;
  for (const auto& [id, until] : of) ids.push_back(id);
  return ids;
}

void Reaper::report(const JobTable& table, const ReapedPage& page) {
  for (const ReapedJob& job : page.jobs) {
    const std::string label = table.label(job.id);
    if (job.status == "failed") {
      state_.statistics.add(state_.minute(), table.name(), job.job_type, Statistics::Count::failed);
      state_.log.error(event::kJobPoison, {{"job", label}, {"job_type", job.job_type}, {"table", table.name()}},
                       "its node died each time that it ran alone: failed as poison");
    } else if (job.status == "cancelled") {
      state_.statistics.add(state_.minute(), table.name(), job.job_type, Statistics::Count::cancelled);
      state_.log.info(event::kJobCancelled, {{"job", label}, {"job_type", job.job_type}}, job.message);
    } else {
      state_.log.warning(event::kJobRescued, {{"job", label}, {"job_type", job.job_type}, {"table", table.name()}},
                         job.message + ": it waits to run again");
    }
  }
}

}  // namespace rowcrew
