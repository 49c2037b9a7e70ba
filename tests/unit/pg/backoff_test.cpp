#include "pg/backoff.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using rowcrew::Backoff;
using rowcrew::Outage;
using rowcrew::SteadyTime;

TEST_CASE("backoff: doubles from 100 ms to 3 s, and starts over after a success") {
  Backoff backoff;
  CHECK(backoff.next(1.0) == 100ms);
  CHECK(backoff.next(1.0) == 200ms);
  CHECK(backoff.next(0.0) == 200ms);  // half of 400
  for (int i = 0; i < 100; ++i) backoff.next(0.5);
  CHECK(backoff.next(1.0) == 3s);
  CHECK(backoff.next(0.0) == 1500ms);
  backoff.reset();
  CHECK(backoff.next(0.0) == 50ms);
}

TEST_CASE("outage: everybody may connect while the server is there") {
  const SteadyTime t0{};
  Outage outage;
  CHECK(outage.may_try(t0));
  CHECK(outage.may_try(t0));
  CHECK_FALSE(outage.away());
  CHECK_FALSE(outage.succeeded(t0).has_value());
}

TEST_CASE("outage: one thread tries at a time, at the backoff's times") {
  const SteadyTime t0{};
  Outage outage;
  CHECK(outage.failed(t0, 1.0, "refused"));
  CHECK(outage.away());
  CHECK(outage.reason() == "refused");
  CHECK_FALSE(outage.may_try(t0 + 99ms));
  CHECK(outage.next_try() == t0 + 100ms);
  CHECK(outage.may_try(t0 + 100ms));
  CHECK_FALSE(outage.may_try(t0 + 200ms));  // somebody is at it

  SUBCASE("its failure lets the next one wait for longer") {
    outage.failed(t0 + 100ms, 1.0, "still refused");
    CHECK(outage.next_try() == t0 + 300ms);
    CHECK(outage.attempts() == 2);
    outage.failed(t0 + 101ms, 1.0, "refused");  // one that has tried since before
    CHECK(outage.next_try() == t0 + 300ms);
    CHECK(outage.may_try(t0 + 300ms));
  }
  SUBCASE("its success opens the door for all and tells how long it took") {
    CHECK(outage.succeeded(t0 + 700ms) == 700ms);
    CHECK(outage.may_try(t0 + 700ms));
    CHECK(outage.may_try(t0 + 700ms));
    CHECK(outage.attempts() == 0);
  }
}

TEST_CASE("outage: threads that failed at the same moment count as one failure") {
  const SteadyTime t0{};
  Outage outage;
  CHECK(outage.failed(t0, 1.0, "refused"));
  CHECK_FALSE(outage.failed(t0 + 1ms, 1.0, "refused"));
  CHECK_FALSE(outage.failed(t0 + 2ms, 1.0, "refused"));
  CHECK(outage.next_try() == t0 + 100ms);
}

TEST_CASE("outage: one line at its start and one a minute") {
  const SteadyTime t0{};
  Outage outage;
  CHECK(outage.failed(t0, 1.0, "refused"));
  CHECK_FALSE(outage.failed(t0 + 30s, 1.0, "refused"));
  CHECK(outage.failed(t0 + 60s, 1.0, "refused"));
  CHECK_FALSE(outage.failed(t0 + 61s, 1.0, "refused"));
  outage.succeeded(t0 + 62s);
  CHECK(outage.failed(t0 + 63s, 1.0, "refused"));
}
