// How a coroutine's continuation travels to another thread and comes back.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

namespace rowcrew {

/// A function that any thread may call, once, to resume `handler` on its own executor, which is
/// kept running until then. The handler owns the coroutine, so the calling thread holds nothing of
/// it any more once the other one may be running it.
template <class... Args, class Handler>
std::function<void(Args...)> continuation(Handler handler) {
  auto guard = boost::asio::make_work_guard(handler);
  auto kept = std::make_shared<Handler>(std::move(handler));
  return [guard, kept](Args... args) mutable {
    auto resume = [kept = std::move(kept), args = std::tuple(std::move(args)...)]() mutable {
      Handler own = std::move(*kept);
      kept.reset();
      std::apply(own, std::move(args));
    };
    boost::asio::post(guard.get_executor(), std::move(resume));
    guard.reset();
  };
}

}  // namespace rowcrew
