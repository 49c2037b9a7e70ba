#include "pg/pool.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "pg/pool_state.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;

/// Carries a coroutine's continuation to whichever thread ends its closure, and from there back to
/// the coroutine's executor, which is kept running meanwhile.
template <class Handler>
std::function<void(std::exception_ptr)> continuation(Handler handler) {
  auto guard = asio::make_work_guard(handler);
  auto kept = std::make_shared<Handler>(std::move(handler));
  return [guard, kept](std::exception_ptr error) mutable {
    // The continuation owns the coroutine: this thread must not hold a reference any longer once
    // the other one may be running it.
    auto resume = [kept = std::move(kept), error = std::move(error)]() mutable {
      Handler own = std::move(*kept);
      kept.reset();
      own(std::move(error));
    };
    asio::post(guard.get_executor(), std::move(resume));
    guard.reset();
  };
}

}  // namespace

Pool::Pool(PoolOptions options, Log& log)
    : state_(std::make_shared<State>(std::move(options), log)) {
  try {
    state_->start_threads();
  } catch (...) {  // out of threads: those that run must end before their state does
    state_->stop(std::chrono::milliseconds(0));
    state_->join();
    throw;
  }
}

Pool::~Pool() {
  state_->stop(std::chrono::milliseconds(0));
  state_->join();
}

void Pool::stop(std::chrono::milliseconds within) {
  state_->stop(within);
}

bool Pool::reachable() const {
  return state_->reachable;
}

std::size_t Pool::waiting() const {
  return state_->waiting();
}

asio::awaitable<void> Pool::submit(TxMode mode, std::function<void(Tx&)> work) {
  auto request = std::make_unique<State::Request>();
  request->mode = mode;
  request->work = std::move(work);
  request->deadline = std::chrono::steady_clock::now() + state_->options.wait;
  auto initiate = [state = state_](auto handler, std::unique_ptr<State::Request> started) {
    started->done = continuation(std::move(handler));
    state->push(std::move(started));
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      std::move(initiate), asio::use_awaitable, std::move(request));
}

}  // namespace rowcrew
