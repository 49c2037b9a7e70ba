#include "runtime/wake.hpp"

#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <optional>

#include "base/system_clock.hpp"
#include "support/fake_clock.hpp"
#include "support/run.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

struct Bell {
  Bell() : wake(io.get_executor(), clock) {}

  /// Starts a wait; `rung` holds its answer once it has one.
  void wait(Mono until) {
    asio::co_spawn(
        io, wake.wait_until(until),
        asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e, bool r) {
          error = e;
          if (!e) rung = r;
        }));
    io.restart();
    io.poll();
  }
  void poll() {
    io.restart();
    io.poll();
  }

  asio::io_context io{1};
  testing::FakeClock clock;
  Wake wake;
  asio::cancellation_signal cancel;
  std::optional<bool> rung;
  std::exception_ptr error;
};

TEST_CASE("wake: a wait ends when the bell rings") {
  Bell bell;
  bell.wait(bell.clock.mono() + 1h);
  CHECK_FALSE(bell.rung);
  bell.wake.ring();
  bell.poll();
  CHECK(bell.rung == true);
}

TEST_CASE("wake: whoever waits for the past again and again holds nobody else up") {
  Bell bell;
  int turns = 0;
  auto impatient = [&]() -> asio::awaitable<void> {
    while (turns < 1'000) {
      ++turns;
      co_await bell.wake.wait_until(bell.clock.mono() - 1s);
    }
  };
  asio::co_spawn(bell.io, impatient, [&](std::exception_ptr e) { bell.error = e; });
  bool ran = false;
  asio::post(bell.io, [&] { ran = turns < 1'000; });
  bell.poll();
  CHECK(ran);
  CHECK(bell.error == nullptr);
}

TEST_CASE("wake: a bell that rang while nobody waited ends the next wait at once, and only that") {
  Bell bell;
  bell.wake.ring();
  bell.wake.ring();
  bell.wait(bell.clock.mono() + 1h);
  CHECK(bell.rung == true);
  bell.rung.reset();
  bell.wait(bell.clock.mono() + 1h);
  CHECK_FALSE(bell.rung);
  bell.wake.ring();
  bell.poll();
}

TEST_CASE("wake: a moment that is past ends the wait at once") {
  Bell bell;
  bell.wait(bell.clock.mono());
  CHECK(bell.rung == false);
}

TEST_CASE("wake: without a ring the wait ends when its moment has come") {
  asio::io_context io{1};
  SystemClock clock;
  Wake wake(io.get_executor(), clock);
  const Mono until = clock.mono() + 2ms;
  CHECK_FALSE(testing::run(io, wake.wait_until(until)));
  CHECK(clock.mono() >= until);
}

TEST_CASE("wake: a cancelled wait throws instead of reporting a ring") {
  Bell bell;
  bell.wait(bell.clock.mono() + 1h);
  bell.cancel.emit(asio::cancellation_type::terminal);
  bell.poll();
  CHECK_FALSE(bell.rung);
  REQUIRE(bell.error);
  CHECK_THROWS_AS(std::rethrow_exception(bell.error), boost::system::system_error);
}

}  // namespace
}  // namespace rowcrew
