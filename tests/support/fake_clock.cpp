#include "support/fake_clock.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace asio = boost::asio;

namespace rowcrew::testing {

/// The timer never expires by itself: cancelling it is how a sleeper is woken. `due` tells that
/// wake-up from a cancellation of the coroutine.
struct FakeClock::Sleeper {
  explicit Sleeper(const asio::any_io_executor& executor)
      : timer(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer timer;
  bool due = false;
};

FakeClock::FakeClock() = default;
FakeClock::~FakeClock() = default;

std::chrono::system_clock::time_point FakeClock::wall() const {
  using namespace std::chrono;
  constexpr sys_days kStart{year{2026} / January / 1};
  return kStart + duration_cast<system_clock::duration>(now_ - Mono{hours(1)});
}

asio::awaitable<void> FakeClock::sleep_until(Mono when) {
  // Suspends even when `when` is past, as the real clock does: a loop that sleeps into the past
  // stays cancellable.
  auto sleeper = std::make_shared<Sleeper>(co_await asio::this_coro::executor);
  if (when <= now_) {
    sleeper->due = true;
    sleeper->timer.expires_at(asio::steady_timer::time_point::min());
  } else {
    sleepers_.emplace(when, sleeper);
  }
  const auto [error] = co_await sleeper->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (error && !sleeper->due) throw boost::system::system_error(error);
}

void FakeClock::advance(std::chrono::nanoseconds by) {
  now_ += by;
  while (!sleepers_.empty() && sleepers_.begin()->first <= now_) {
    const auto sleeper = sleepers_.begin()->second.lock();
    sleepers_.erase(sleepers_.begin());
    if (!sleeper) continue;
    sleeper->due = true;
    sleeper->timer.cancel();
  }
}

std::size_t FakeClock::sleepers() const {
  std::size_t count = 0;
  for (const auto& [when, sleeper] : sleepers_) count += sleeper.expired() ? 0U : 1U;
  return count;
}

}  // namespace rowcrew::testing
