#include "queue/turns.hpp"

#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <optional>
#include <string>

namespace rowcrew {
namespace {

namespace asio = boost::asio;

/// Takers of turns, each of which keeps its own until it is told to leave.
struct TurnsBench {
  explicit TurnsBench(std::size_t at_once) : turns(at_once) {}

  struct Taker {
    asio::cancellation_signal signal;
    std::optional<Turns::Turn> turn;
    bool stopped = false;
  };
  void take(int n) {
    for (int i = 0; i < n; ++i) {
      Taker& taker = takers.emplace_back();
      auto on_end = [&taker](std::exception_ptr error) { taker.stopped = error != nullptr; };
      asio::co_spawn(io, one(taker), asio::bind_cancellation_slot(taker.signal.slot(), on_end));
    }
    poll();
  }
  asio::awaitable<void> one(Taker& taker) { taker.turn.emplace(co_await turns.take()); }
  void leave(std::size_t n) {
    takers[n].turn.reset();
    poll();
  }
  void stop(std::size_t n) {
    takers[n].signal.emit(asio::cancellation_type::terminal);
    poll();
  }
  void poll() {
    io.restart();
    io.poll();
  }
  std::string inside() const {
    std::string text;
    for (std::size_t i = 0; i < takers.size(); ++i) {
      if (takers[i].turn) text += std::to_string(i);
    }
    return text;
  }

  asio::io_context io{1};
  Turns turns;
  std::deque<Taker> takers;
};

}  // namespace

TEST_CASE("turns: so many at once, the next in the order in which they came") {
  TurnsBench b(2);
  b.take(5);
  CHECK(b.inside() == "01");
  b.leave(1);
  CHECK(b.inside() == "02");
  b.leave(0);
  b.leave(2);
  CHECK(b.inside() == "34");
  b.leave(3);
  b.leave(4);
  b.take(3);
  CHECK(b.inside() == "56");
}

TEST_CASE("turns: whoever stops waiting takes nobody's turn") {
  TurnsBench b(1);
  b.take(3);
  b.stop(1);
  CHECK(b.takers[1].stopped);
  b.leave(0);
  CHECK(b.inside() == "2");
  b.leave(2);
  b.take(1);
  CHECK(b.inside() == "3");
}

TEST_CASE("turns: more at once lets those in who wait, fewer takes no turn away") {
  TurnsBench b(1);
  b.take(4);
  b.turns.at_once(3);
  b.poll();
  CHECK(b.inside() == "012");
  b.turns.at_once(1);
  CHECK(b.inside() == "012");
  b.leave(0);
  b.leave(1);
  CHECK(b.inside() == "2");
  b.leave(2);
  CHECK(b.inside() == "3");
}

}  // namespace rowcrew
