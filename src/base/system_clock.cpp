#include "base/system_clock.hpp"

#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <system_error>

namespace rowcrew {
namespace {

/// Asio's timers stand still while the machine sleeps, ours must not: after a wake-up of the
/// machine a sleeper is late by this much at most.
constexpr std::chrono::nanoseconds kLongestWait = std::chrono::seconds{1};

}  // namespace

Mono SystemClock::mono() const {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return Mono{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

std::chrono::system_clock::time_point SystemClock::wall() const {
  return std::chrono::system_clock::now();
}

boost::asio::awaitable<void> SystemClock::sleep_until(Mono when) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  // Suspends at least once, so that a loop that sleeps into the past stays cancellable.
  do {
    const std::chrono::nanoseconds left = when - mono();
    timer.expires_after(std::clamp(left, std::chrono::nanoseconds{0}, kLongestWait));
    co_await timer.async_wait(boost::asio::use_awaitable);
  } while (mono() < when);
}

std::uint64_t SystemRandom::bits() {
  if (left_ == 0) {
    // Up to 256 bytes come whole and uninterrupted once the kernel's pool is initialised.
    while (::getrandom(buffer_, sizeof buffer_, 0) != static_cast<ssize_t>(sizeof buffer_)) {
      if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    left_ = static_cast<unsigned>(std::size(buffer_));
  }
  return std::exchange(buffer_[--left_], 0);
}

}  // namespace rowcrew
