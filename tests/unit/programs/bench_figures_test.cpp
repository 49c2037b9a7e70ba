#include <doctest/doctest.h>

#include <numeric>

#include "programs/bench/figures.hpp"
#include "programs/bench/start_times.hpp"

using namespace rowcrew::bench;

TEST_CASE("bench: a percentile is a value that was measured, by nearest rank") {
  std::vector<double> values(200);
  std::iota(values.rbegin(), values.rend(), 1);  // 200 … 1: the order does not matter
  const Percentiles p = percentiles(values);
  CHECK(*p.p50 == 100);
  CHECK(*p.p95 == 190);
  CHECK(*p.p99 == 198);
  CHECK(*p.max == 200);
}

TEST_CASE("bench: one value is every percentile, none is none") {
  const Percentiles one = percentiles({7.5});
  CHECK(*one.p50 == 7.5);
  CHECK(*one.p99 == 7.5);
  CHECK(*one.max == 7.5);
  CHECK_FALSE(percentiles({}).p50.has_value());
}

TEST_CASE("bench: figures are lines for people and one object for programs") {
  Figures figures;
  figures.add("rate", "jobs/s", 1234567.8);
  figures.add("ratio", "ratio", 0.98765, 3);
  figures.add("statements", "statements", std::nullopt, 2);
  figures.add("none", "by nothing", 1.0 / 0.0);
  CHECK(figures.text() == "jobs/s      1,234,568\nratio           0.988\nstatements          -\nby nothing          -\n");
  CHECK(figures.json() == "{\"rate\":1234568,\"ratio\":0.988,\"statements\":null,\"none\":null}\n");
}

TEST_CASE("bench: a negative wait keeps its sign, and small numbers no comma") {
  Figures figures;
  figures.add("wait", "ms", -1234.5, 1);
  figures.add("small", "n", 999);
  CHECK(figures.text() == "ms  -1,234.5\nn        999\n");
}

TEST_CASE("bench: of a job that runs twice the first start counts, and that it ran twice") {
  StartTimes starts(2);
  starts.hit(1);
  const Instant first = starts.of(1);
  starts.hit(1);
  starts.hit(2);  // not of the run
  CHECK(starts.of(1) == first);
  CHECK(starts.first() == first);
  CHECK(starts.of(0) == Instant{});
  CHECK(starts.executions() == 2);
  CHECK(starts.distinct() == 1);
  CHECK(starts.strangers() == 1);
}

TEST_CASE("bench: a job is known by the number in its payload, however that is spaced") {
  CHECK(job_number(R"({"i": 17})") == 17);
  CHECK(job_number(R"({"i":0})") == 0);
}
