#include "queue/database_clock.hpp"

#include <doctest/doctest.h>

using namespace rowcrew;
using namespace std::chrono_literals;

namespace {

constexpr Mono kStart{1h};

}  // namespace

TEST_CASE("database clock: knows nothing before it was told, and goes on from the middle of the round trip") {
  DatabaseClock clock;
  CHECK_FALSE(clock.at(kStart));
  clock.told(kStart, kStart + 10ms, 1'000'000);
  CHECK(clock.at(kStart + 5ms) == 1'000'000);
  CHECK(clock.at(kStart + 2s + 5ms) == 3'000'000);
  clock.forget();
  CHECK_FALSE(clock.at(kStart));
}

TEST_CASE("database clock: a slow answer does not spoil what a fast one told, until that is old") {
  DatabaseClock clock;
  clock.told(kStart, kStart + 2ms, 5'000'000);
  clock.told(kStart + 1s, kStart + 3s, 9'000'000);
  CHECK(clock.at(kStart + 1ms) == 5'000'000);
  clock.told(kStart + 1h, kStart + 1h + 40ms, 0);  // doubt by then: 1 ms and a ten thousandth of an hour
  CHECK(clock.at(kStart + 1h + 20ms) == 0);
  clock.told(kStart + 2h, kStart + 2h + 1ms, 7);
  CHECK(clock.at(kStart + 2h + 500us) == 7);
}
