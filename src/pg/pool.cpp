#include "pg/pool.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "pg/continuation.hpp"
#include "pg/pool_state.hpp"

namespace rowcrew {
namespace asio = boost::asio;

std::optional<PoolOptions> direct_options(const PoolOptions& options) {
  if (!options.pooled) return options;
  if (options.direct_url.empty()) return std::nullopt;
  PoolOptions direct = options;
  direct.url = direct.direct_url;
  direct.pooled = false;
  return direct;
}

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
  end();
}

void Pool::end() {
  state_->stop(std::chrono::milliseconds(0));
  state_->join();
}

void Pool::stop(std::chrono::milliseconds within) {
  state_->stop(within);
}

void Pool::on_loss(std::function<void()> told) {
  state_->on_loss = std::move(told);
}

bool Pool::reachable() const {
  return state_->reachable;
}

void Pool::give_way() {
  state_->give_way();
}

std::size_t Pool::waiting() const {
  return state_->waiting();
}

Pool::Usage Pool::usage() const {
  return state_->usage();
}

asio::awaitable<void> Pool::submit(TxMode mode, std::function<void(Tx&)> work) {
  auto request = std::make_unique<State::Request>();
  request->mode = mode;
  request->work = std::move(work);
  request->deadline = std::chrono::steady_clock::now() + state_->options.wait;
  auto initiate = [state = state_](auto handler, std::unique_ptr<State::Request> started) {
    started->done = continuation<std::exception_ptr>(std::move(handler));
    state->push(std::move(started));
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      std::move(initiate), asio::use_awaitable, std::move(request));
}

}  // namespace rowcrew
