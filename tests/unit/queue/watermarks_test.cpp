#include "queue/watermarks.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr Mono kStart{1h};
constexpr std::int64_t kNoon = 1'767'268'800'000'000;  // 2026-01-01 12:00:00 UTC, microseconds

std::vector<std::string> unknown() {
  return std::vector<std::string>(10, "-infinity");
}

TEST_CASE("watermarks: without knowledge every group is read from its beginning") {
  const Watermarks marks{Watermarks::Options{}};
  CHECK(marks.marks("mail", true) == unknown());
}

TEST_CASE("watermarks: a mark is the smallest of a batch less the margin, per queue and priority") {
  Watermarks marks{Watermarks::Options{}};
  marks.note("mail", 5, kNoon + 3'000'001);
  marks.note("mail", 5, kNoon + 1'000'001);
  marks.note("mail", 5, kNoon + 2'000'001);
  marks.note("mail", 0, kNoon);
  marks.note("photo", 9, kNoon);
  marks.settle();
  auto expected = unknown();
  expected[5] = "2026-01-01 11:59:59.000001+00";
  expected[0] = "2026-01-01 11:59:58.000000+00";
  CHECK(marks.marks("mail", true) == expected);
  expected = unknown();
  expected[9] = "2026-01-01 11:59:58.000000+00";
  CHECK(marks.marks("photo", true) == expected);
  CHECK(marks.marks("other", true) == unknown());
}

TEST_CASE("watermarks: while claims are filled the margin is allowed for only now and then") {
  Watermarks marks{Watermarks::Options{}};
  marks.note("mail", 5, kNoon);
  marks.settle();
  CHECK(marks.wide_due(kStart));
  marks.widened(kStart);
  CHECK_FALSE(marks.wide_due(kStart + 249ms));
  CHECK(marks.wide_due(kStart + 250ms));
  CHECK(marks.marks("mail", false)[5] == "2026-01-01 12:00:00.000000+00");
}

TEST_CASE("watermarks: nothing moves before the batch is settled") {
  Watermarks marks{Watermarks::Options{}};
  marks.note("mail", 5, kNoon);
  CHECK(marks.marks("mail", true) == unknown());
}

TEST_CASE(
    "watermarks: the next batch moves the mark, backwards too when a sweep found an old hint") {
  Watermarks marks{Watermarks::Options{}};
  for (const auto& [at, text] : {std::pair{kNoon, "2026-01-01 11:59:58.000000+00"},
                                 {kNoon + 60'000'000, "2026-01-01 12:00:58.000000+00"},
                                 {kNoon - 60'000'000, "2026-01-01 11:58:58.000000+00"}}) {
    marks.note("mail", 5, at);
    marks.settle();
    CHECK(marks.marks("mail", true)[5] == text);
  }
  marks.settle();  // an empty batch knows nothing new
  CHECK(marks.marks("mail", true)[5] == "2026-01-01 11:58:58.000000+00");
}

TEST_CASE("watermarks: a priority that does not exist is ignored") {
  Watermarks marks{Watermarks::Options{}};
  marks.note("mail", -1, kNoon);
  marks.note("mail", 10, kNoon);
  marks.settle();
  CHECK(marks.marks("mail", true) == unknown());
}

TEST_CASE("watermarks: a sweep is due at first, then after half to one and a half of its span") {
  Watermarks marks{Watermarks::Options{}};
  CHECK(marks.sweep_due("mail", kStart));
  marks.swept("mail", marks.resets(), kStart, 1ms, 0.0);
  CHECK_FALSE(marks.sweep_due("mail", kStart + 999ms));
  CHECK(marks.sweep_due("mail", kStart + 1s));
  marks.swept("mail", marks.resets(), kStart, 1ms, 0.999);
  CHECK_FALSE(marks.sweep_due("mail", kStart + 2'990ms));
  CHECK(marks.sweep_due("mail", kStart + 3s));
}

TEST_CASE("watermarks: sweeps that are slow and find nothing become rare, until one is quick or finds a straggler") {
  Watermarks marks{Watermarks::Options{}};
  for (int i = 0; i < 200; ++i) marks.claimed(2ms);
  marks.note("mail", 5, kNoon);
  marks.settle();
  for (const auto next : {4s, 8s, 16s, 20s, 20s}) {
    marks.swept("mail", marks.resets(), kStart, 40ms, 0.5);
    CHECK(marks.sweeps_are_slow("mail"));
    CHECK_FALSE(marks.sweep_due("mail", kStart + next - 1ms));
    CHECK(marks.sweep_due("mail", kStart + next));
  }
  marks.note("mail", 5, kNoon - 1'999'999);  // within the margin
  marks.swept("mail", marks.resets(), kStart, 40ms, 0.5);
  marks.settle();
  CHECK(marks.sweeps_are_slow("mail"));
  marks.note("mail", 5, kNoon - 5'000'000);
  marks.note("mail", 5, kNoon);
  marks.swept("mail", marks.resets(), kStart, 40ms, 0.5);
  marks.settle();
  CHECK_FALSE(marks.sweeps_are_slow("mail"));
  CHECK(marks.sweep_due("mail", kStart + 2s));
  marks.note("mail", 6, kNoon);  // the first of its priority
  marks.swept("mail", marks.resets(), kStart, 40ms, 0.5);
  CHECK(marks.sweeps_are_slow("mail"));  // the straggler was that of the sweep before
  marks.swept("mail", marks.resets(), kStart, 9ms, 0.5);
  CHECK_FALSE(marks.sweeps_are_slow("mail"));
}

TEST_CASE("watermarks: a sweep that began before a reset does not stand for the one that is due since") {
  Watermarks marks{Watermarks::Options{}};
  const auto since = marks.resets();
  marks.reset();
  marks.swept("mail", since, kStart, 1ms, 0.5);
  CHECK(marks.sweep_due("mail", kStart));
  marks.swept("mail", marks.resets(), kStart, 1ms, 0.5);
  CHECK_FALSE(marks.sweep_due("mail", kStart));
}

TEST_CASE("watermarks: each queue has sweeps of its own: one without free slots is swept when it has some") {
  Watermarks marks{Watermarks::Options{}};
  marks.swept("mail", marks.resets(), kStart, 1ms, 0.5);
  CHECK_FALSE(marks.sweep_due("mail", kStart + 1s));
  CHECK(marks.sweep_due("photo", kStart + 1s));
}

TEST_CASE("watermarks: where every claim takes long a sweep that takes as long is not slow") {
  Watermarks marks{Watermarks::Options{}};
  for (int i = 0; i < 200; ++i) marks.claimed(30ms);
  marks.swept("mail", marks.resets(), kStart, 60ms, 0.5);
  CHECK_FALSE(marks.sweeps_are_slow("mail"));
}

TEST_CASE("watermarks: a reset makes the next claim a sweep and forgets nothing") {
  Watermarks marks{Watermarks::Options{}};
  marks.note("mail", 5, kNoon);
  marks.settle();
  marks.swept("mail", marks.resets(), kStart, 1ms, 0.5);
  marks.reset();
  CHECK(marks.sweep_due("mail", kStart));
  CHECK(marks.marks("mail", true)[5] == "2026-01-01 11:59:58.000000+00");
}

}  // namespace
}  // namespace rowcrew
