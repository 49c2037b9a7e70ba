// Runs a coroutine to its end on an io_context and hands back its value or exception.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace rowcrew::testing {

/// T must be default-constructible (co_spawn's own demand). Throws std::logic_error when the
/// context runs out of work before the coroutine ends. Other coroutines of the context stay where
/// they are and go on with the next run().
template <class T>
T run(boost::asio::io_context& io, boost::asio::awaitable<T> work) {
  std::exception_ptr error;
  std::optional<T> value;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr e, T v) {
    error = e;
    if (!e) value.emplace(std::move(v));
    io.stop();
  });
  io.restart();
  io.run();
  if (error) std::rethrow_exception(error);
  if (!value) throw std::logic_error("run: no work is left, and the coroutine has not ended");
  return std::move(*value);
}

inline void run(boost::asio::io_context& io, boost::asio::awaitable<void> work) {
  std::exception_ptr error;
  bool ended = false;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr e) {
    error = e;
    ended = true;
    io.stop();
  });
  io.restart();
  io.run();
  if (error) std::rethrow_exception(error);
  if (!ended) throw std::logic_error("run: no work is left, and the coroutine has not ended");
}

}  // namespace rowcrew::testing
