#include "runtime/watchdog.hpp"

namespace rowcrew {

boost::asio::awaitable<void> Watchdog::run() {
  const auto interval = sd_watchdog_interval();
  for (;;) {
    if (interval) sd_notify_state("WATCHDOG=1");
    const auto pause = interval ? std::chrono::nanoseconds(*interval) / 3 : std::chrono::nanoseconds(std::chrono::hours(1));
    co_await clock_.sleep_until(clock_.mono() + pause);
  }
}

}  // namespace rowcrew
