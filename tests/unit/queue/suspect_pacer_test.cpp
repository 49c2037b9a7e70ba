#include "queue/suspect_pacer.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Action = SuspectPacer::Action;

constexpr Mono kStart{1h};

TEST_CASE("suspect pacer: without a suspect nothing changes") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  CHECK(pacer.next(kStart, 0) == Action::claim_normally);
  CHECK(pacer.next(kStart, 5) == Action::claim_normally);
  pacer.looked(kStart, false, 0.5);
  CHECK_FALSE(pacer.waiting());
  CHECK_FALSE(pacer.until());
  CHECK(pacer.next(kStart + 1h, 5) == Action::claim_normally);
}

TEST_CASE("suspect pacer: an idle node takes a suspect at once") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  pacer.looked(kStart, true, 0.5);
  CHECK(pacer.waiting());
  CHECK(pacer.next(kStart, 0) == Action::claim_suspect);
}

TEST_CASE("suspect pacer: a busy node first leaves it to idle ones, then empties itself") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  pacer.looked(kStart, true, 0.5);
  CHECK(pacer.next(kStart, 3) == Action::claim_normally);
  CHECK(pacer.until() == kStart + 1'500ms);  // patience and half of it
  CHECK(pacer.next(kStart + 1'499ms, 3) == Action::claim_normally);
  CHECK(pacer.next(kStart + 1'500ms, 3) == Action::hold);
  CHECK(pacer.until() == kStart + 6'500ms);
  CHECK(pacer.next(kStart + 3s, 1) == Action::hold);
  CHECK(pacer.next(kStart + 3s, 0) == Action::claim_suspect);
}

TEST_CASE("suspect pacer: looking again neither prolongs the patience nor the hold") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  pacer.looked(kStart, true, 0.0);
  pacer.looked(kStart + 900ms, true, 0.9);
  CHECK(pacer.next(kStart + 1s, 3) == Action::hold);
  pacer.looked(kStart + 2s, true, 0.9);
  CHECK(pacer.until() == kStart + 6s);
}

TEST_CASE("suspect pacer: a hold in vain makes room for others as long, then tries for longer") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  pacer.looked(kStart, true, 0.0);
  CHECK(pacer.next(kStart + 1s, 3) == Action::hold);            // 5 s
  CHECK(pacer.next(kStart + 6s, 3) == Action::claim_normally);  // 5 s
  CHECK(pacer.until() == kStart + 11s);
  CHECK(pacer.next(kStart + 11s, 3) == Action::hold);  // 10 s
  CHECK(pacer.until() == kStart + 21s);
  CHECK(pacer.next(kStart + 21s, 3) == Action::claim_normally);
  CHECK(pacer.until() == kStart + 31s);
  CHECK(pacer.next(kStart + 31s, 3) == Action::hold);  // 20 s
  CHECK(pacer.until() == kStart + 51s);
}

TEST_CASE("suspect pacer: whoever settles it lets the node go on at once") {
  SuspectPacer pacer{SuspectPacer::Options{}};
  for (const bool by_other : {true, false, true}) {
    pacer.looked(kStart, true, 0.0);
    CHECK(pacer.next(kStart + 1s, 3) == Action::hold);
    CHECK(pacer.until() == kStart + 6s);  // short again, whatever it took the last time
    CHECK(pacer.next(kStart + 6s, 3) == Action::claim_normally);
    CHECK(pacer.next(kStart + 11s, 3) == Action::hold);
    if (by_other) {
      pacer.looked(kStart + 12s, false, 0.0);
    } else {
      pacer.settled();
    }
    CHECK(pacer.next(kStart + 12s, 3) == Action::claim_normally);
    CHECK_FALSE(pacer.waiting());
  }
}

/// A node of eight slots that are always wanted, and a suspect that waits from the start.
struct Load {
  Mono suspect_at{};
  MonoClock::duration held{};
};

Load under_load(MonoClock::duration job, MonoClock::duration within) {
  SuspectPacer pacer{SuspectPacer::Options{}};
  std::vector<Mono> ends;
  for (int i = 1; i <= 8; ++i) ends.push_back(kStart + job * i / 8);
  Load load;
  pacer.looked(kStart, true, 0.5);
  constexpr auto kTick = 100ms;
  for (Mono now = kStart; now < kStart + within; now += kTick) {
    std::erase_if(ends, [&](Mono end) { return end <= now; });
    const Action action = pacer.next(now, ends.size());
    if (action == Action::claim_suspect) {
      load.suspect_at = now;
      return load;
    }
    if (action == Action::hold) {
      load.held += kTick;
    } else {
      while (ends.size() < 8) ends.push_back(now + job);
    }
  }
  load.suspect_at = kStart + within;
  return load;
}

TEST_CASE("suspect pacer: under full load a suspect waits no longer than a few jobs take") {
  for (const auto job : {1s, 10s, 60s, 240s}) {
    CAPTURE(job.count());
    const Load load = under_load(job, 2h);
    CHECK(load.suspect_at - kStart < 10s + 6 * MonoClock::duration(job));
  }
}

TEST_CASE("suspect pacer: jobs that outlast every hold are not starved by it either") {
  const Load load = under_load(1h, 24h);
  CHECK(load.held <= 12h + 5min);  // as much time is left to them as a hold takes
}

}  // namespace
}  // namespace rowcrew
