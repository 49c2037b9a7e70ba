#include "runtime/reaper.hpp"

#include <optional>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;

Reaper::Reaper(NodeState& state, std::function<void()> rescued)
    : state_(state), rescued_(std::move(rescued)), wake_(state.executor, state.clock) {}

asio::awaitable<void> Reaper::run() {
  bool rung = true;
  for (;;) {
    // Also without a death seen here: a claim may commit after its node was reaped. The leader is told.
    if (state_.holds_lease() && !state_.stopping && (rung || !state_.leader_present)) {
      for (const auto& table : state_.tables) {
        if (!table->broken()) co_await reap_table(table->table);
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
    std::optional<PortError> refusal;
    ReapedPage page;
    std::shared_ptr<const EndedPorts> ports;
    if (!refused) ports = state_.ports.ended();
    try {
      page = co_await table.reap(state_.config.max_crashes, last, ports);
    } catch (const PortError& e) {
      refusal = e;
    } catch (const Error& e) {
      state_.failed("rescue", table.name(), event::kClaimFailed, e);
      failed = true;
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

void Reaper::report(const JobTable& table, const ReapedPage& page) {
  for (const ReapedJob& job : page.jobs) {
    if (job.status == "failed") {
      state_.log.error(event::kJobPoison, {{"job", job.id}, {"job_type", job.job_type}, {"table", table.name()}},
                       "its node died each time that it ran alone: failed as poison");
    } else if (job.status == "cancelled") {
      state_.log.info(event::kJobCancelled, {{"job", job.id}, {"job_type", job.job_type}}, job.message);
    } else {
      state_.log.warning(event::kJobRescued, {{"job", job.id}, {"job_type", job.job_type}, {"table", table.name()}},
                         "its node died: it waits to run again");
    }
  }
}

}  // namespace rowcrew
