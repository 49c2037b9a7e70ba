// So many at once, the others in the order in which they came.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace rowcrew {

/// Event thread only. Must outlive every Turn.
class Turns {
 public:
  explicit Turns(std::size_t at_once) : at_once_(at_once) {}

  /// From now on. Turns that are taken stay so.
  void at_once(std::size_t count);

  /// Given back with its end.
  class Turn {
   public:
    explicit Turn(Turns& of) : of_(&of) {}
    Turn(Turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (of_ != nullptr) of_->give_back();
    }

   private:
    Turns* of_;
  };

  /// Cancellable: throws boost::system::system_error (operation_aborted) and has taken nothing.
  boost::asio::awaitable<Turn> take();

 private:
  struct Waiter {
    explicit Waiter(boost::asio::any_io_executor executor) : woken(std::move(executor)) {}
    boost::asio::steady_timer woken;
    bool granted = false;
  };
  void give_back();
  void grant();

  std::size_t at_once_;
  std::size_t taken_ = 0;
  std::deque<std::shared_ptr<Waiter>> waiting_;
};

}  // namespace rowcrew
