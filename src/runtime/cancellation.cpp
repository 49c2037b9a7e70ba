#include "runtime/cancellation.hpp"

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::size_t kPage = 500;
constexpr std::chrono::milliseconds kWhileOpen = 500ms;
constexpr std::chrono::milliseconds kAtRest = 10min;  // requests are announced, and heartbeats tell of them
}  // namespace

Cancellation::Cancellation(NodeState& state, Claimer& claimer) : state_(state), claimer_(claimer), wake_(state.executor, state.clock) {}

asio::awaitable<void> Cancellation::run() {
  for (;;) {
    bool open = !state_.holds_lease();  // not looked: soon
    if (state_.holds_lease()) {
      try {
        for (std::size_t table = 0; table < state_.tables.size(); ++table) {
          if (state_.tables[table]->broken()) continue;
          const bool here = co_await look(table);
          open = open || here;
        }
        state_.worked("cancellations", "");
      } catch (const Error& e) {
        state_.failed("cancellations", "", event::kJobCancelled, e);
      }
    }
    const bool rests = state_.config.listen && state_.running.empty();
    const std::chrono::milliseconds pause = open ? kWhileOpen : rests ? kAtRest : state_.config.reconcile_every;
    co_await wake_.wait_until(state_.clock.mono() + std::chrono::duration_cast<MonoClock::duration>(pause * (0.75 + 0.25 * state_.random.unit())));
  }
}

asio::awaitable<bool> Cancellation::look(std::size_t table) {
  const std::vector<CancelRequest> requests = co_await state_.tables[table]->control.cancel_requests();
  if (requests.empty()) co_return false;
  for (const CancelRequest& request : requests) {
    if (claimer_.end_local(table, request.id, Cancelled(request.note))) continue;  // it waits here for a slot
    const RunningJobs::Ref running = state_.running.find(table, request.id);
    if (!running || running->reason != StopReason::none) continue;
    state_.log.info(event::kJobCancelRequested, {{"job", state_.tables[table]->table.label(request.id)}, {"job_type", running->job.job_type}}, request.note);
    running->stop_note = request.note;
    RunningJobs::stop(*running, StopReason::cancelled);
  }
  co_await settle(table);
  co_return true;
}

asio::awaitable<void> Cancellation::settle(std::size_t table) {
  const std::vector<SettledCancel> settled = co_await state_.tables[table]->control.settle_cancels(kPage);
  for (const SettledCancel& one : settled) {
    const std::string label = state_.tables[table]->table.label(one.id);
    if (one.now == "cancelled" && one.before != "cancelled") {
      state_.log.info(event::kJobCancelled, {{"job", label}, {"job_type", one.job_type}}, one.note);
    } else if (one.now != "cancelled") {
      state_.log.info(event::kJobCancelLate, {{"job", label}, {"job_type", one.job_type}, {"status", one.now}}, one.note);
    }
  }
}

}  // namespace rowcrew
