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

TEST_CASE("troubles: one thing that works does not hide another that fails") {
  Troubles troubles;
  CHECK(troubles.failed("claims", kStart) == kNothing);
  CHECK(troubles.worked("ends", kStart + 1s) == kNothing);
  CHECK(troubles.failed("claims", kStart + 5s) == 5'000ms);
}
