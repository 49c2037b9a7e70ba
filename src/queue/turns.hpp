// So many at once, the others in the order in which they came.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>

namespace rowcrew {

/// Event thread only. A Turn may outlive this.
class Turns {
  struct State;

 public:
  explicit Turns(std::size_t at_once);

  /// From now on. Turns that are taken stay so.
  void at_once(std::size_t count);

  /// Given back with its end.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<State> of);
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    std::shared_ptr<State> of_;
  };

  /// Cancellable: throws boost::system::system_error (operation_aborted) and has taken nothing.
  boost::asio::awaitable<Turn> take();

 private:
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
