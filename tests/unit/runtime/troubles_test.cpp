#include "runtime/troubles.hpp"

#include <doctest/doctest.h>

using namespace rowcrew;
using namespace std::chrono_literals;

namespace {
constexpr auto kNothing = std::nullopt;
const Mono kStart = Mono{} + 1h;
}  // namespace

TEST_CASE("troubles: what fails for less than five seconds is not worth a line, nor is its recovery") {
  Troubles troubles;
  for (auto at = 0ms; at < 5s; at += 100ms) CHECK(troubles.failed("claims", kStart + at) == kNothing);
  CHECK(troubles.worked("claims", kStart + 5s) == kNothing);
  CHECK(troubles.failed("claims", kStart + 6s) == kNothing);  // anew
}

TEST_CASE("troubles: what does nothing but fail is told after five seconds, once a minute, and when it works") {
  Troubles troubles;
  CHECK(troubles.failed("claims", kStart) == kNothing);
  CHECK(troubles.failed("claims", kStart + 5s) == 5'000ms);
  CHECK(troubles.failed("claims", kStart + 64s) == kNothing);
  CHECK(troubles.failed("claims", kStart + 65s) == 65'000ms);
  CHECK(troubles.worked("claims", kStart + 70s) == 70'000ms);
  CHECK(troubles.worked("claims", kStart + 71s) == kNothing);
}

TEST_CASE("troubles: what lasts is known with its last error, until it works or nobody tries any more") {
  Troubles troubles;
  troubles.failed("claims", kStart, "first");
  troubles.failed("ends", kStart + 1s, "once");
  CHECK(troubles.lasting(kStart + 1s).empty());
  troubles.failed("claims", kStart + 5s, "then");
  troubles.failed("claims", kStart + 9s, "last");
  const auto lasting = troubles.lasting(kStart + 10s);
  REQUIRE(lasting.size() == 1);
  CHECK(lasting[0].what == "claims");
  CHECK(lasting[0].lasted == 10s);
  CHECK(lasting[0].why == "last");
  CHECK(troubles.lasting(kStart + 9s + 2min).empty());
  troubles.failed("claims", kStart + 9s + 2min, "again");
  CHECK(troubles.lasting(kStart + 9s + 2min).size() == 1);
  troubles.worked("claims", kStart + 10s + 2min);
  CHECK(troubles.lasting(kStart + 10s + 2min).empty());
}

TEST_CASE("troubles: one thing that works does not hide another that fails") {
  Troubles troubles;
  CHECK(troubles.failed("claims", kStart) == kNothing);
  CHECK(troubles.worked("ends", kStart + 1s) == kNothing);
  CHECK(troubles.failed("claims", kStart + 5s) == 5'000ms);
}
