#include "runtime/promoter.hpp"

#include <algorithm>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr std::size_t kPage = 1'000;
constexpr auto kLongestNap = 1s;  // others may park something that is due sooner
constexpr auto kLedNap = 10min;    // the leader is told; and each beat asks whether anything is overdue
}  // namespace

Promoter::Promoter(NodeState& state, std::function<void()> promoted)
    : state_(state), promoted_(std::move(promoted)), wake_(state.executor, state.clock) {}

void Promoter::expect(std::chrono::milliseconds delay) {
  const Mono due = state_.clock.mono() + delay;
  if (due < next_) {
    next_ = due;
    wake_.ring();
  }
}

asio::awaitable<void> Promoter::run() {
  for (;;) {
    // The leader is told of what is parked; without one every node looks for itself.
    next_ = state_.clock.mono() + (state_.leader_present ? std::chrono::milliseconds(kLedNap) : std::chrono::milliseconds(kLongestNap));
    if (state_.may_claim() && (state_.leads() || !passed_)) {
      try {
        const Mono due = co_await promote_due();
        passed_ = true;
        next_ = std::min(next_, due);
      } catch (const Error& e) {
        state_.log.debug(event::kClaimFailed, {{"code", e.code()}}, e.what());
      }
    }
    while (state_.clock.mono() < next_) co_await wake_.wait_until(next_);
  }
}

asio::awaitable<Mono> Promoter::promote_due() {
  Mono next = state_.clock.mono() + 1h;
  for (const auto& table : state_.tables) {
    if (!table->serving()) continue;
    std::uint64_t moved = kPage;
    while (moved >= kPage) {
      moved = co_await table->table.promote(kPage);
      if (moved > 0) promoted_();
    }
    const auto due = co_await table->table.next_parked();
    // At least a little later: what is due but locked by another node is that node's.
    if (due) next = std::min(next, state_.clock.mono() + std::max<std::chrono::milliseconds>(*due, 10ms));
  }
  co_return next;
}

}  // namespace rowcrew
