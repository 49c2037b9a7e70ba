// A sticky doorbell between coroutines of the event thread: rung while nobody waits, the next wait
// returns at once. One waiter.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class Wake {
 public:
  Wake(boost::asio::any_io_executor executor, Clock& clock) : timer_(std::move(executor)), clock_(clock) {}

  void ring() {
    rung_ = true;
    timer_.cancel();
  }

  /// Until rung (true) or `when` (false). Throws operation_aborted when cancelled. Lets others run even
  /// when it is later already: who always waits for the past burns a core, but holds nobody up.
  boost::asio::awaitable<bool> wait_until(Mono when) {
    for (bool first = true; !rung_ && (first || clock_.mono() < when); first = false) {
      timer_.expires_after(std::max(when - clock_.mono(), MonoClock::duration::zero()));
      boost::system::error_code ec;
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ec));
      const auto cancelled = (co_await boost::asio::this_coro::cancellation_state).cancelled();
      if (cancelled != boost::asio::cancellation_type::none) {
        throw boost::system::system_error(boost::asio::error::operation_aborted);
      }
    }
    const bool was_rung = rung_;
    rung_ = false;
    co_return was_rung;
  }

 private:
  boost::asio::steady_timer timer_;
  Clock& clock_;
  bool rung_ = false;
};

}  // namespace rowcrew
