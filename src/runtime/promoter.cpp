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
  const Mono due = state_.clock.mono() + std::min<std::chrono::milliseconds>(delay, kLedNap);  // centuries would overflow
  if (due < next_) {
    next_ = due;
    wake_.ring();
  }
}

asio::awaitable<void> Promoter::run() {
  for (;;) {
    // A leader is told of what is parked in its tables; of others, and without one, every node looks for itself.
    next_ = state_.clock.mono() + (state_.all_led() ? std::chrono::milliseconds(kLedNap) : std::chrono::milliseconds(kLongestNap));
    if (state_.may_claim()) {
      const Mono due = co_await promote_due();
      next_ = std::min(next_, due);
    }
    while (state_.clock.mono() < next_) co_await wake_.wait_until(next_);
  }
}

asio::awaitable<Mono> Promoter::promote_due() {
  Mono next = state_.clock.mono() + kLedNap;
  bool passed = true;
  const bool first = !passed_;
  for (std::size_t at = 0; at < state_.tables.size(); ++at) {
    const auto& table = state_.tables[at];
    if (!table->serving() || !(first || state_.leads(*table))) continue;
    try {
      const Mono due = co_await promote_due(at);
      next = std::min(next, due);
      state_.worked("scheduled jobs", table->table.name());
    } catch (const Error& e) {  // no reason to make other tables wait
      state_.failed("scheduled jobs", table->table.name(), event::kClaimFailed, e);
      next = std::min(next, state_.clock.mono() + kLongestNap);
      passed = false;
    }
  }
  passed_ = passed_ || passed;
  co_return next;
}

asio::awaitable<Mono> Promoter::promote_due(std::size_t at) {
  JobTable& table = state_.tables[at]->table;
  std::optional<std::int64_t> from = marks_[at].from(state_.clock.mono());
  const bool sweep = !from;
  Mono asked;
  JobTable::Promoted moved;
  do {
    asked = state_.clock.mono();
    moved = co_await table.promote(kPage, from);
    if (moved.jobs > 0) promoted_();
    from = moved.last_us;
  } while (moved.jobs >= kPage);
  marks_[at].passed(moved.seen_us, sweep, state_.clock.mono() - asked, state_.clock.mono());
  Mono next = sweep ? Mono::max() : marks_[at].next_sweep();
  from = moved.seen_us;
  if (sweep) from.reset();
  const auto due = co_await table.next_parked(from);
  // At least a little later: what is due but locked by another node is that node's.
  if (due) next = std::min(next, state_.clock.mono() + std::max<std::chrono::milliseconds>(*due, 10ms));
  co_return next;
}

}  // namespace rowcrew
