// A few wires for many callers, each of which has one statement to send.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <vector>

#include "pg/wire.hpp"
#include "queue/turns.hpp"

namespace rowcrew {

/// Event thread only. A Taken may outlive this.
class SharedWires {
  struct Line {
    std::unique_ptr<Wire> wire;
    std::size_t taken = 0;
  };
  using Lines = std::vector<Line>;

 public:
  /// One caller each, to begin with.
  explicit SharedWires(std::vector<std::unique_ptr<Wire>> wires);

  bool none() const { return lines_->empty(); }
  /// So many callers each from now on: those behind the first have their calls on the way while its answer
  /// is awaited.
  void each(std::size_t callers) { turns_.at_once(callers * lines_->size()); }

  /// The least used of them, until its end.
  class Taken {
   public:
    Taken(Turns::Turn turn, std::shared_ptr<Lines> lines);
    Taken(Taken&& other) noexcept;
    Taken& operator=(Taken&&) = delete;
    ~Taken();
    Wire& operator*() const { return *line_->wire; }

   private:
    Turns::Turn turn_;  ///< the last to go
    std::shared_ptr<Lines> lines_;
    Line* line_;
  };
  /// In the order in which they came. Cancellable, as Turns::take().
  boost::asio::awaitable<Taken> take();

 private:
  std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
  Turns turns_;
};

}  // namespace rowcrew
