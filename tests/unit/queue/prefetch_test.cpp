#include "queue/prefetch.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace rowcrew {
namespace {

Prefetch settled(MonoClock::duration run, MonoClock::duration round_trip, std::size_t most = 500) {
  Prefetch prefetch(Prefetch::Options{most});
  for (int i = 0; i < 200; ++i) {
    prefetch.ran(run);
    prefetch.answered(round_trip);
  }
  return prefetch;
}

TEST_CASE("prefetch: nothing is claimed ahead before a job has run and a claim was answered") {
  Prefetch prefetch(Prefetch::Options{});
  CHECK(prefetch.depth(100) == 0);
  prefetch.ran(1ms);
  CHECK(prefetch.depth(100) == 0);
  prefetch.answered(1ms);
  CHECK(prefetch.depth(100) == 200);
  Prefetch other(Prefetch::Options{});
  other.answered(1us);
  CHECK(other.depth(100) == 0);
  other.ran(100ms);
  CHECK(other.depth(100) == 25);  // the first of each counts whole
}

TEST_CASE("prefetch: as many as end during two round trips, however long those take") {
  CHECK(settled(210ms, 30ms).depth(98) == 28);
  CHECK(settled(10ms, 5ms).depth(100) == 100);
  CHECK(settled(1ms, 1ms).depth(10) == 20);
}

TEST_CASE("prefetch: with the database far away no more than what starts before it would go back") {
  CHECK(settled(500ms, 600ms).depth(10) == 15);
  CHECK(settled(500ms, 300ms).depth(10) == 12);
}

TEST_CASE("prefetch: long jobs are left to other nodes until a slot is free") {
  CHECK(settled(1min, 1ms).depth(100) == 0);
  CHECK(settled(1s, 10ms).depth(4) == 0);
  CHECK(settled(300ms, 1ms).depth(160) == 0);
  // From an eighth of the slots' worth on it counts.
  CHECK(settled(300ms, 15ms).depth(160) == 0);
  CHECK(settled(300ms, 20ms).depth(160) == 21);
}

TEST_CASE("prefetch: half of the slots' worth where a job waits 25 ms for it at most") {
  CHECK(settled(10ms, 1ms).depth(100) == 50);
  CHECK(settled(50ms, 1ms).depth(100) == 50);
  CHECK(settled(100ms, 1ms).depth(100) == 25);
  CHECK(settled(150ms, 1ms).depth(120) == 20);
  CHECK(settled(100ms, 1ms).depth(3) == 0);
  CHECK(settled(32ms, 1ms, 0).depth(100) == 0);
}

TEST_CASE("prefetch: never more than the most, and nothing at all with none") {
  CHECK(settled(1us, 100ms).depth(1'000) == 500);
  CHECK(settled(0ns, 100ms).depth(1) == 500);
  CHECK(settled(1ms, 1ms, 7).depth(100) == 7);
  CHECK(settled(1ms, 1ms, 0).depth(100) == 0);
}

TEST_CASE("prefetch: one claim leaves half of the room to another that is under way beside it") {
  const Prefetch none = settled(1ms, 1ms, 0);
  CHECK(none.ask(10, 10, 0) == 10);
  CHECK(none.ask(10, 10, 10) == 0);
  CHECK(none.ask(10, 10, 12) == 0);  // asked for while more were worth it
  const Prefetch ahead = settled(1us, 100ms);  // 500 beside the slots
  CHECK(ahead.ask(500, 500, 0) == 500);
  CHECK(ahead.ask(500, 500, 500) == 500);  // the other half
  CHECK(ahead.ask(500, 500, 1'000) == 0);
  CHECK(ahead.ask(10, 10, 0) == 255);
  CHECK(ahead.ask(10, 10, 255) == 255);
}

TEST_CASE("prefetch: what is claimed ahead is not topped up one by one, free slots are") {
  const Prefetch ahead = settled(1us, 100ms);
  CHECK(ahead.ask(0, 10, 300) == 0);
  CHECK(ahead.ask(0, 10, 250) == 250);
  CHECK(ahead.ask(3, 10, 2) == 252);
  CHECK(settled(1ms, 1ms, 5).ask(10, 10, 9) == 6);
  CHECK(settled(1min, 1ms).ask(1, 10, 0) == 1);
}

TEST_CASE("prefetch: one long run counts at once, many short ones are needed to forget it") {
  Prefetch prefetch = settled(1ms, 1ms);
  REQUIRE(prefetch.depth(100) >= 199);
  prefetch.ran(2s);
  CHECK(prefetch.depth(100) == 0);
  for (int i = 0; i < 20; ++i) prefetch.ran(1ms);
  CHECK(prefetch.depth(100) == 0);
  for (int i = 0; i < 300; ++i) prefetch.ran(1ms);
  CHECK(prefetch.depth(100) >= 150);
}

}  // namespace
}  // namespace rowcrew
