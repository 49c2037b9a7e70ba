#include "queue/retry_policy.hpp"

#include <doctest/doctest.h>

#include <climits>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr double kAlmostOne = 1.0 - 0x1.0p-53;

TEST_CASE("retry policy: the ceiling doubles with each attempt up to the cap") {
  const RetryPolicy policy{.base = 1s, .cap = 10s};
  CHECK(policy.delay(1, 0.5) == 500ms);
  CHECK(policy.delay(2, 0.5) == 1s);
  CHECK(policy.delay(3, 0.5) == 2s);
  CHECK(policy.delay(4, 0.5) == 4s);
  CHECK(policy.delay(5, 0.5) == 5s);
  CHECK(policy.delay(6, 0.5) == 5s);
}

TEST_CASE("retry policy: full jitter reaches from nothing to just below the ceiling") {
  const RetryPolicy policy{.base = 1s, .cap = 10s};
  CHECK(policy.delay(1, 0.0) == 0ms);
  CHECK(policy.delay(1, kAlmostOne) == 999ms);
  CHECK(policy.delay(9, kAlmostOne) == 9'999ms);
}

TEST_CASE("retry policy: no attempt, however late, overflows") {
  const RetryPolicy longest{.base = 24h, .cap = 24h * 365};
  for (const int attempt : {32, 41, 42, 63, 64, 65, 1000, INT_MAX}) {
    CAPTURE(attempt);
    CHECK(longest.delay(attempt, 0.5) == 24h * 365 / 2);
    CHECK(longest.delay(attempt, kAlmostOne) < longest.cap);
  }
  CHECK(RetryPolicy{}.delay(1000, kAlmostOne) < 1h);
  CHECK(RetryPolicy{}.delay(1000, kAlmostOne) > 59min);
}

TEST_CASE("retry policy: an attempt below the first counts as the first") {
  const RetryPolicy policy{.base = 1s, .cap = 10s};
  for (const int attempt : {0, -1, INT_MIN}) CHECK(policy.delay(attempt, 0.5) == 500ms);
}

TEST_CASE("retry policy: a cap below the base holds from the first attempt on") {
  const RetryPolicy policy{.base = 10s, .cap = 1s};
  CHECK(policy.delay(1, 0.5) == 500ms);
}

TEST_CASE("retry policy: a table of delays is followed to the letter, its last one stays") {
  RetryPolicy policy;
  policy.delays = {100ms, 1s, 5s};
  CHECK(policy.delay(1, 0.0) == 100ms);
  CHECK(policy.delay(2, kAlmostOne) == 1s);
  CHECK(policy.delay(3, 0.5) == 5s);
  CHECK(policy.delay(99, 0.5) == 5s);
  CHECK(policy.delay(0, 0.5) == 100ms);
}

TEST_CASE("retry policy: an error code may have delays of its own") {
  RetryPolicy policy;
  policy.delays = {1s};
  policy.rules = std::make_shared<const RetryRules>(RetryRules{{"busy", {false, {10ms}}}, {"odd", {false, {}}}});
  CHECK(policy.delay(1, 0.5, "busy") == 10ms);
  CHECK(policy.delay(1, 0.5, "odd") == 1s);
  CHECK(policy.delay(1, 0.5, "other") == 1s);
}

}  // namespace
}  // namespace rowcrew
