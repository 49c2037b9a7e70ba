#include "queue/lease_keeper.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Action = LeaseKeeper::Action;
using Span = MonoClock::duration;

constexpr Mono kStart{1h};

double seconds(Span span) {
  return std::chrono::duration<double>(span).count();
}

std::initializer_list<Span> leases() {
  static const std::initializer_list<Span> kLeases = {
      Span(2s),  Span(2'001ms), Span(3s),   Span(7'777ms), Span(10s),       Span(30s),
      Span(45s), Span(90s),     Span(1min), Span(5min),    Span(599'999ms), Span(10min)};
  return kLeases;
}

TEST_CASE("lease times: what the node takes to be dead fits into the reaper's lease") {
  constexpr double kRateError = 1e-3;
  for (const Span lease : leases()) {
    CAPTURE(lease.count());
    const LeaseTimes t = LeaseTimes::of(lease);
    CHECK(t.lease == lease);
    const double epsilon = seconds(lease) / 30;
    const double node = seconds(t.stop_after) + seconds(t.grace) + seconds(t.stall);
    const double reaper = seconds(lease) * (1 - 2 * kRateError) - epsilon;
    CHECK(node <= reaper + 1e-8);  // whole nanoseconds
    CHECK(node > reaper - 1e-3);   // and nothing of it is given away
  }
}

TEST_CASE("lease times: at 30 s they are the shares that the header names") {
  const LeaseTimes t = LeaseTimes::of(30s);
  CHECK(t.beat_every == 5s);
  CHECK(t.grace == 5s);
  CHECK(t.stall == 2s);
  CHECK(t.stop_after == 21'940ms);
}

TEST_CASE("lease keeper: guardians of children act after the node, and their grace ends within the lease") {
  for (const Span lease : leases()) {
    CAPTURE(lease.count());
    LeaseKeeper keeper(LeaseTimes::of(lease), kStart);
    keeper.acknowledged(kStart + 1s);
    const LeaseTimes& t = keeper.times();
    CHECK(keeper.children_end_at() > keeper.stop_at());
    CHECK(keeper.children_end_at() + t.grace <= kStart + 1s + t.stop_after + t.grace + t.stall);
  }
}

TEST_CASE("lease times: three beats may be lost in a row, the fourth is still in time") {
  for (const Span lease : leases()) {
    CAPTURE(lease.count());
    const LeaseTimes t = LeaseTimes::of(lease);
    CHECK(4 * t.beat_every < t.stop_after);
    // with something left for its way to the database and back
    CHECK(t.stop_after - 4 * t.beat_every > lease / 20);
  }
}

TEST_CASE("lease keeper: beats at a sixth of the lease, counted from the last send") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  CHECK(keeper.next(kStart).action == Action::wait);
  CHECK(keeper.next(kStart).until == kStart + 5s);
  CHECK(keeper.next(kStart + 5s - 1ns).action == Action::wait);
  CHECK(keeper.next(kStart + 5s).action == Action::beat);

  keeper.sent(kStart + 5s);
  CHECK(keeper.next(kStart + 5s).action == Action::wait);
  CHECK(keeper.next(kStart + 5s).until == kStart + 10s);
  keeper.acknowledged(kStart + 5s);
  CHECK(keeper.next(kStart + 6s).until == kStart + 10s);
}

TEST_CASE("lease keeper: a node that has nothing to lose beats less often, and at once when that changes") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  keeper.sent(kStart);
  CHECK(keeper.next(kStart + 6s, 1.5).action == Action::wait);
  CHECK(keeper.next(kStart + 6s, 1.5).until == kStart + 7'500ms);
  CHECK(keeper.next(kStart + 6s).action == Action::beat);
  CHECK(keeper.next(kStart + 7'500ms, 1.5).action == Action::beat);
  CHECK(keeper.next(kStart + 22s, 5).action == Action::stop);
}

TEST_CASE("lease keeper: without an acknowledgement the node stops before the lease ends") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  const Mono stop = kStart + 21'940ms;
  CHECK(keeper.stop_at() == stop);
  for (Mono now = kStart + 5s; now < stop; now += 5s) {
    CHECK(keeper.next(now).action == Action::beat);
    keeper.sent(now);
  }
  CHECK(keeper.holds(stop - 1ns));
  CHECK(keeper.next(stop - 1ns).action == Action::wait);
  CHECK(keeper.next(stop - 1ns).until == stop);
  CHECK_FALSE(keeper.holds(stop));
  CHECK(keeper.next(stop).action == Action::stop);
  CHECK(keeper.next(stop + 1h).action == Action::stop);
}

TEST_CASE("lease keeper: a late acknowledgement counts from the send of its beat") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  keeper.sent(kStart + 5s);
  keeper.acknowledged(kStart + 5s);  // heard at + 20 s, say: the moment does not matter
  CHECK(keeper.stop_at() == kStart + 5s + 21'940ms);
  CHECK(keeper.holds(kStart + 26s));
  CHECK_FALSE(keeper.holds(kStart + 27s));
}

TEST_CASE("lease keeper: an acknowledgement that was overtaken changes nothing") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  keeper.acknowledged(kStart + 10s);
  keeper.acknowledged(kStart + 5s);
  CHECK(keeper.stop_at() == kStart + 10s + 21'940ms);
}

TEST_CASE("lease keeper: a lease that was over is held again once a beat is acknowledged") {
  LeaseKeeper keeper(LeaseTimes::of(30s), kStart);
  CHECK(keeper.next(kStart + 25s).action == Action::stop);
  keeper.sent(kStart + 25s);
  keeper.acknowledged(kStart + 25s);
  CHECK(keeper.holds(kStart + 26s));
  CHECK(keeper.next(kStart + 26s).action == Action::wait);
  CHECK(keeper.next(kStart + 26s).until == kStart + 30s);
}

}  // namespace
}  // namespace rowcrew
