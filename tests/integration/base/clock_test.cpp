#include <doctest/doctest.h>

#include "base/system_clock.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;

TEST_CASE("the real clock: a sleep that takes several waits lasts as long as it says") {
  SystemClock clock;
  boost::asio::io_context io;
  const Mono due = clock.mono() + 1100ms;
  testing::run(io, clock.sleep_until(due));
  CHECK(clock.mono() >= due);
  CHECK(clock.mono() < due + 1s);
}
