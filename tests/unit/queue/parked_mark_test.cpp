#include "queue/parked_mark.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace rowcrew {
namespace {

constexpr Mono kStart{1h};

TEST_CASE("parked mark: the first look reads everything, those after it from where it ended") {
  ParkedMark mark;
  CHECK_FALSE(mark.from(kStart));
  mark.passed(1'000, true, 1ms, kStart);
  CHECK(mark.from(kStart + 1s) == 1'000);
  mark.passed(2'000, false, 1ms, kStart + 1s);
  CHECK(mark.from(kStart + 1'999ms) == 2'000);
}

TEST_CASE("parked mark: late producers are looked for every two seconds, less often where that takes long") {
  ParkedMark mark;
  mark.passed(1'000, true, 1ms, kStart);
  CHECK_FALSE(mark.from(kStart + 2s));
  mark.passed(2'000, true, 500ms, kStart);
  CHECK(mark.from(kStart + 9'999ms) == 2'000);
  CHECK_FALSE(mark.from(kStart + 10s));
  mark.passed(3'000, true, 5min, kStart);
  CHECK(mark.from(kStart + 29s) == 3'000);
  CHECK_FALSE(mark.from(kStart + 30s));
}

TEST_CASE("parked mark: what a look from the mark on takes puts no sweep off") {
  ParkedMark mark;
  mark.passed(1'000, true, 1ms, kStart);
  mark.passed(2'000, false, 1s, kStart + 1s);
  CHECK_FALSE(mark.from(kStart + 2s));
  CHECK(mark.next_sweep() == kStart + 2s);
}

}  // namespace
}  // namespace rowcrew
