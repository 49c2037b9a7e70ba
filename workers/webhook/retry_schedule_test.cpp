#include "retry_schedule.hpp"

#include <doctest/doctest.h>

#include <string>

#include <rowcrew/error.hpp>

#include "support/kind_bench.hpp"

namespace rowcrew::webhook {
namespace {

using namespace std::chrono_literals;

RetrySchedule configured(const std::string& list) {
  return RetrySchedule(
      testing::settings_from("webhook:\n  retry_schedule: " + list + "\n").section("webhook"));
}

TEST_CASE("retry schedule: that of Standard Webhooks, ten attempts in three days") {
  const RetrySchedule schedule(testing::settings_from("").section("webhook"));
  const std::chrono::milliseconds expected[] = {5s, 5min, 30min, 2h, 5h, 10h, 14h, 20h, 24h};
  std::chrono::milliseconds sum{0};
  for (int attempt = 1; attempt <= 9; ++attempt) {
    CAPTURE(attempt);
    CHECK(schedule.wait(attempt, 0.5) == expected[attempt - 1]);
    sum += schedule.wait(attempt, 0.5);
  }
  CHECK(sum == 75h + 35min + 5s);
  CHECK(schedule.wait(10, 0.5) == 24h);
  CHECK(schedule.wait(1000, 0.5) == 24h);
  CHECK(schedule.wait(0, 0.5) == 5s);
}

TEST_CASE("retry schedule: jitter is a tenth up and down") {
  const RetrySchedule schedule;
  CHECK(schedule.wait(2, 0.0) == 270s);
  CHECK(schedule.wait(2, 0.25) == 285s);
  CHECK(schedule.wait(2, 0.999999) <= 330s);
  CHECK(schedule.wait(2, 0.999999) > 329s);
}

TEST_CASE("retry schedule: a list of durations in the configuration") {
  const RetrySchedule schedule = configured("[0s, 250ms, 3m, 1d]");
  CHECK(schedule.wait(1, 0.5) == 0s);
  CHECK(schedule.wait(2, 0.5) == 250ms);
  CHECK(schedule.wait(3, 0.5) == 3min);
  CHECK(schedule.wait(4, 0.5) == 24h);
  CHECK(schedule.wait(5, 0.5) == 24h);
}

TEST_CASE("retry schedule: anything else is refused with the key and what was found") {
  for (const std::string list : {"[]", "[5]", "[5s, soon]", "['']", "[-5s]", "[8d]", "[5 s]",
                                 "[1w]", "[99999999999999999999s]", "[s]"}) {
    CAPTURE(list);
    CHECK_THROWS_AS(configured(list), ConfigError);
  }
  try {
    configured("[5s, soon]");
  } catch (const ConfigError& e) {
    CHECK(std::string(e.what()) ==
          "webhook.retry_schedule: \"soon\" found, expected durations such as 30s or 2h, 0s to 7d");
  }
}

}  // namespace
}  // namespace rowcrew::webhook
