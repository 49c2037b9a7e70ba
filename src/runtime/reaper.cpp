#include "runtime/reaper.hpp"

#include <optional>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;

Reaper::Reaper(NodeState& state, std::function<void()> rescued)
    : state_(state), rescued_(std::move(rescued)), wake_(state.executor, state.clock) {}

asio::awaitable<void> Reaper::run() {
  for (;;) {
    if (state_.holds_lease() && !state_.stopping) {
      for (const auto& table : state_.tables) {
        if (!table->broken()) co_await reap_table(table->table);
      }
    }
    // Also without a death seen here: a claim may commit after its node was reaped.
    const auto pause = state_.config.lease * (0.3 + 0.2 * state_.random.unit());
    co_await wake_.wait_until(state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(pause));
  }
}

asio::awaitable<void> Reaper::reap_table(JobTable& table) {
  bool refused = false;
  std::vector<std::int64_t> seen;  // a claim whose rows are locked stays for the next pass
  for (;;) {
    std::optional<std::string> failure;
    std::optional<PortError> refusal;
    ReapedClaim claim;
    std::shared_ptr<const EndedPorts> ports;
    if (!refused) ports = state_.ports.ended();
    try {
      claim = co_await table.reap(state_.config.max_crashes, seen, ports);
    } catch (const PortError& e) {
      refusal = e;
    } catch (const Error& e) {
      failure = e.what();
    }
    if (refusal) {
      state_.log.error(event::kPortFailed, {{"table", table.name()}, {"code", refusal->code()}}, refusal->what());
      if (refusal->error_class() == ErrorClass::transient) co_return;  // the next pass
      refused = true;  // a port must not keep jobs from being rescued: poison ends without it
      continue;
    }
    refused = false;
    if (failure) {
      state_.log.debug(event::kClaimFailed, {}, *failure);
      co_return;
    }
    if (claim.token == 0) co_return;
    seen.push_back(claim.token);
    report(table, claim);
    if (!claim.jobs.empty()) rescued_();
  }
}

void Reaper::report(const JobTable& table, const ReapedClaim& claim) {
  for (const ReapedJob& job : claim.jobs) {
    if (job.status == "failed") {
      state_.log.error(event::kJobPoison, {{"job", job.id}, {"job_type", job.job_type}, {"table", table.name()}},
                       "its node died each time that it ran alone: failed as poison");
    } else {
      state_.log.warning(event::kJobRescued, {{"job", job.id}, {"job_type", job.job_type}, {"table", table.name()}},
                         "its node died: it waits to run alone");
    }
  }
}

}  // namespace rowcrew
