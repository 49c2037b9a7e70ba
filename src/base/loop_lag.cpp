#include "base/loop_lag.hpp"

#include "base/metric_text.hpp"

namespace rowcrew {

boost::asio::awaitable<void> LoopLag::run() {
  for (;;) {
    const Mono due = clock_.mono() + std::chrono::seconds(1);
    co_await clock_.sleep_until(due);
    late_.observe(clock_.mono() - due);
  }
}

std::string LoopLag::text() const {
  MetricFamily lag("rowcrew_loop_lag_seconds", "histogram", "How late timers of the event loop fire, tried each second.");
  lag.add({}, late_);
  return lag.text();
}

}  // namespace rowcrew
