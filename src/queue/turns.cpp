#include "queue/turns.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace rowcrew {
namespace asio = boost::asio;

asio::awaitable<Turns::Turn> Turns::take() {
  if (taken_ < at_once_) {
    ++taken_;
    co_return Turn(*this);
  }
  auto executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Waiter>(executor);
  waiter->woken.expires_at(std::chrono::steady_clock::time_point::max());
  waiting_.push_back(waiter);
  boost::system::error_code ignored;
  co_await waiter->woken.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!waiter->granted) {
    std::erase(waiting_, waiter);
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return Turn(*this);
}

void Turns::at_once(std::size_t count) {
  at_once_ = count;
  grant();
}

void Turns::give_back() {
  --taken_;
  grant();
}

void Turns::grant() {
  while (taken_ < at_once_ && !waiting_.empty()) {
    const auto next = waiting_.front();
    waiting_.pop_front();
    ++taken_;
    next->granted = true;
    next->woken.cancel();
  }
}

}  // namespace rowcrew
