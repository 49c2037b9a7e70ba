#include "queue/turns.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <deque>
#include <utility>

namespace rowcrew {
namespace asio = boost::asio;

struct Turns::State {
  struct Waiter {
    explicit Waiter(asio::any_io_executor executor) : woken(std::move(executor)) {}
    asio::steady_timer woken;
    bool granted = false;
  };

  void grant() {
    while (taken < at_once && !waiting.empty()) {
      const auto next = waiting.front();
      waiting.pop_front();
      ++taken;
      next->granted = true;
      next->woken.cancel();
    }
  }

  std::size_t at_once = 0;
  std::size_t taken = 0;
  std::deque<std::shared_ptr<Waiter>> waiting;
};

Turns::Turn::Turn(std::shared_ptr<State> of) : of_(std::move(of)) {}

Turns::Turn::~Turn() {
  if (!of_) return;
  --of_->taken;
  of_->grant();
}

Turns::Turns(std::size_t at_once) : state_(std::make_shared<State>()) { state_->at_once = at_once; }

asio::awaitable<Turns::Turn> Turns::take() {
  const std::shared_ptr<State> state = state_;
  if (state->taken < state->at_once) {
    ++state->taken;
    co_return Turn(state);
  }
  auto executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<State::Waiter>(executor);
  waiter->woken.expires_at(std::chrono::steady_clock::time_point::max());
  state->waiting.push_back(waiter);
  boost::system::error_code ignored;
  co_await waiter->woken.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!waiter->granted) {
    std::erase(state->waiting, waiter);
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return Turn(state);
}

void Turns::at_once(std::size_t count) {
  state_->at_once = count;
  state_->grant();
}

}  // namespace rowcrew
