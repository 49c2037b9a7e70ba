#include "queue/sleep_policy.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace rowcrew {
namespace {

constexpr Mono kStart{1h};

/// Notifications this far apart: after how many it wakes for good; 0 when `times` do not suffice.
int wakes_after(SleepPolicy& policy, MonoClock::duration apart, int times) {
  Mono now = kStart;
  for (int i = 1; i <= times; ++i, now += apart) {
    if (policy.notified(now)) return i;
  }
  return 0;
}

TEST_CASE("sleep: it falls asleep after the third look in vain, and not before") {
  SleepPolicy policy;
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(policy.tired());
    policy.looked(false);
  }
  CHECK_FALSE(policy.tired());
  policy.looked(false);
  CHECK(policy.tired());
}

TEST_CASE("sleep: whatever is found keeps it awake for three looks more") {
  SleepPolicy policy;
  policy.looked(false);
  policy.looked(false);
  policy.looked(true);
  policy.looked(false);
  policy.looked(false);
  CHECK_FALSE(policy.tired());
  policy.looked(false);
  CHECK(policy.tired());
}

TEST_CASE("sleep: looks come less often with each in vain, up to a limit, and at once again after work") {
  SleepPolicy policy;
  CHECK(policy.nap() == 2ms);
  policy.looked(false);
  CHECK(policy.nap() == 4ms);
  policy.looked(false);
  CHECK(policy.nap() == 8ms);
  for (int i = 0; i < 1'000; ++i) policy.looked(false);
  CHECK(policy.nap() == 250ms);
  policy.looked(true);
  CHECK(policy.nap() == 2ms);
}

TEST_CASE("sleep: a hundred notifications within half a second wake it for good") {
  SleepPolicy policy;
  for (int i = 0; i < 3; ++i) policy.looked(false);
  policy.fell_asleep();
  CHECK(wakes_after(policy, 5ms, 200) == 100);
  CHECK_FALSE(policy.tired());
}

TEST_CASE("sleep: notifications that come slower do not, however many") {
  SleepPolicy policy;
  for (int i = 0; i < 3; ++i) policy.looked(false);
  policy.fell_asleep();
  CHECK(wakes_after(policy, 6ms, 10'000) == 0);
  CHECK(policy.tired());
}

TEST_CASE("sleep: only those since it fell asleep count") {
  SleepPolicy policy;
  policy.fell_asleep();
  CHECK(wakes_after(policy, 1ms, 99) == 0);
  policy.fell_asleep();
  CHECK(wakes_after(policy, 1ms, 99) == 0);
  CHECK(policy.notified(kStart + 99ms));
}

TEST_CASE("sleep: a burst counts whatever came before it") {
  SleepPolicy policy;
  policy.fell_asleep();
  for (int i = 0; i < 1'000; ++i) CHECK_FALSE(policy.notified(kStart + i * 1s));
  Mono now = kStart + 2'000s;
  int more = 0;
  while (!policy.notified(now) && more < 200) {
    now += 1ms;
    ++more;
  }
  CHECK(more == 99);
}

}  // namespace
}  // namespace rowcrew
