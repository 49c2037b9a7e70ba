#include "queue/cron.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include <rowcrew/error.hpp>

#include "cron_moments.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using testing::moment;
using testing::text;

std::string next(const char* line, const char* zone, const char* after) {
  const auto due = Cron::parse(line, zone).next_after(moment(after));
  return due ? text(*due) : "never";
}

struct Row {
  const char* line;
  const char* after;
  const char* due;
};

TEST_CASE("cron: fields, lists, ranges, steps and names") {
  // 2026-01-01 is a Thursday.
  const Row rows[] = {
      {"* * * * *", "2026-01-01 00:00", "2026-01-01 00:01"},
      {"5 * * * *", "2026-01-01 00:05", "2026-01-01 01:05"},
      {"0 3 * * *", "2026-01-01 02:59", "2026-01-01 03:00"},
      {"0 3 * * *", "2026-01-01 03:00", "2026-01-02 03:00"},
      {"*/15 * * * *", "2026-01-01 00:31", "2026-01-01 00:45"},
      {"10-30/7 * * * *", "2026-01-01 00:17", "2026-01-01 00:24"},
      {"10-30/7 * * * *", "2026-01-01 00:24", "2026-01-01 01:10"},
      {"50/4 * * * *", "2026-01-01 00:50", "2026-01-01 00:54"},
      {"57/1 * * * *", "2026-01-01 00:57", "2026-01-01 00:58"},
      {"1,2,50 4 * * *", "2026-01-01 04:02", "2026-01-01 04:50"},
      {"0 22-23 * * *", "2026-01-01 22:00", "2026-01-01 23:00"},
      {"0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00"},
      {"0 0 1 jan,jul *", "2026-01-01 00:00", "2026-07-01 00:00"},
      {"0 0 * * mon-wed", "2026-01-01 00:00", "2026-01-05 00:00"},
      {"0 0 * * MON", "2026-01-01 00:00", "2026-01-05 00:00"},
      {"0 0 * Feb Sun", "2026-01-01 00:00", "2026-02-01 00:00"},
      {"0 0 * * 0", "2026-01-01 00:00", "2026-01-04 00:00"},
      {"0 0 * * 7", "2026-01-01 00:00", "2026-01-04 00:00"},
      {"0 0 * * 5-7", "2026-01-03 00:00", "2026-01-04 00:00"},
      {"0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"},
      {"0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"},
      {"  0   3\t* * *  ", "2026-01-01 00:00", "2026-01-01 03:00"},
      {"@hourly", "2026-01-01 00:00", "2026-01-01 01:00"},
      {"@daily", "2026-01-01 00:00", "2026-01-02 00:00"},
      {"@Midnight", "2026-01-01 00:00", "2026-01-02 00:00"},
      {"@weekly", "2026-01-01 00:00", "2026-01-04 00:00"},
      {"@monthly", "2026-01-01 00:00", "2026-02-01 00:00"},
      {"@yearly", "2026-01-01 00:00", "2027-01-01 00:00"},
      {"@annually", "2026-01-01 00:00", "2027-01-01 00:00"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    CAPTURE(row.after);
    CHECK(next(row.line, "UTC", row.after) == row.due);
  }
}

TEST_CASE("cron: with both day fields restricted a day that matches either is due") {
  // Friday the 2nd, Monday the 5th, the 13th is a Tuesday.
  CHECK(next("0 0 13 * fri", "UTC", "2026-01-01 00:00") == "2026-01-02 00:00");
  CHECK(next("0 0 13 * fri", "UTC", "2026-01-09 00:00") == "2026-01-13 00:00");
  CHECK(next("0 0 13 * fri", "UTC", "2026-01-13 00:00") == "2026-01-16 00:00");
  // A star in either leaves the other one to decide, a step from a star is a star.
  CHECK(next("0 0 13 * *", "UTC", "2026-01-01 00:00") == "2026-01-13 00:00");
  CHECK(next("0 0 * * fri", "UTC", "2026-01-02 00:00") == "2026-01-09 00:00");
  CHECK(next("0 0 */2 * fri", "UTC", "2026-01-01 00:00") == "2026-01-09 00:00");
  // The month bounds both.
  CHECK(next("0 0 13 2 fri", "UTC", "2026-01-01 00:00") == "2026-02-06 00:00");
}

TEST_CASE("cron: a date that no year has is never due") {
  CHECK(next("0 0 30 2 *", "UTC", "2026-01-01 00:00") == "never");
  CHECK(next("0 0 31 4,6,9,11 *", "Europe/Berlin", "2026-01-01 00:00") == "never");
  const Cron never = Cron::parse("0 0 30 2 *", "UTC");
  CHECK_FALSE(never.latest_in(moment("2020-01-01 00:00"), moment("2026-01-01 00:00")));
}

TEST_CASE("cron: the next moment is strictly later, to the millisecond") {
  const Cron hourly = Cron::parse("0 * * * *", "UTC");
  const auto at = moment("2026-01-01 01:00");
  CHECK(hourly.next_after(at - 1ms) == at);
  CHECK(hourly.next_after(at) == at + 1h);
  CHECK(hourly.next_after(at + 1ms) == at + 1h);
}

TEST_CASE("cron: times are local to the zone") {
  CHECK(next("0 9 * * *", "America/New_York", "2026-01-10 00:00") == "2026-01-10 14:00");
  CHECK(next("0 9 * * *", "America/New_York", "2026-07-10 00:00") == "2026-07-10 13:00");
  CHECK(next("0 9 * * *", "Europe/Berlin", "2026-07-10 08:00") == "2026-07-11 07:00");
  CHECK(next("30 0 * * *", "Asia/Kolkata", "2026-01-10 00:00") == "2026-01-10 19:00");
  CHECK(next("0 0 * * sun", "Pacific/Kiritimati", "2026-01-01 00:00") == "2026-01-03 10:00");
}

struct Zoned {
  const char* line;
  const char* zone;
  const char* after;
  const char* due;
};

TEST_CASE("cron: a local time that does not exist runs when the clock jumps") {
  const Zoned rows[] = {
      // 2026-03-08 02:00 EST becomes 03:00 EDT, 07:00 UTC
      {"30 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 07:00"},
      {"30 2 * * *", "America/New_York", "2026-03-08 07:00", "2026-03-09 06:30"},
      {"0 2 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 07:00"},
      {"0 3 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 07:00"},
      {"*/20 * * * *", "America/New_York", "2026-03-08 06:40", "2026-03-08 07:00"},
      {"*/20 * * * *", "America/New_York", "2026-03-08 07:00", "2026-03-08 07:20"},
      // 2026-03-29 02:00 CET becomes 03:00 CEST, 01:00 UTC
      {"30 2 * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 01:00"},
      {"30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30"},
      // a jump over midnight: 2026-04-24 has no 00:30 in Cairo
      {"30 0 * * *", "Africa/Cairo", "2026-04-23 12:00", "2026-04-23 22:00"},
  };
  for (const Zoned& row : rows) {
    CAPTURE(row.line);
    CAPTURE(row.after);
    CHECK(next(row.line, row.zone, row.after) == row.due);
  }
}

TEST_CASE("cron: a local time that happens twice runs at its first occurrence only") {
  const Zoned rows[] = {
      // 2026-11-01 02:00 EDT becomes 01:00 EST, 06:00 UTC
      {"30 1 * * *", "America/New_York", "2026-11-01 00:00", "2026-11-01 05:30"},
      {"30 1 * * *", "America/New_York", "2026-11-01 05:30", "2026-11-02 06:30"},
      {"0 1 * * *", "America/New_York", "2026-11-01 05:59", "2026-11-02 06:00"},
      {"0 2 * * *", "America/New_York", "2026-11-01 05:59", "2026-11-01 07:00"},
      // 2026-10-25 03:00 CEST becomes 02:00 CET, 01:00 UTC
      {"30 2 * * *", "Europe/Berlin", "2026-10-25 00:00", "2026-10-25 00:30"},
      {"30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"},
  };
  for (const Zoned& row : rows) {
    CAPTURE(row.line);
    CAPTURE(row.after);
    CHECK(next(row.line, row.zone, row.after) == row.due);
  }
}

TEST_CASE("cron: the latest moment missed is the one that is made up for") {
  const Cron daily = Cron::parse("0 3 * * *", "Europe/Berlin");
  const auto from = moment("2026-06-01 12:00");
  CHECK_FALSE(daily.latest_in(from, moment("2026-06-02 00:59")));
  CHECK(daily.latest_in(from, moment("2026-06-02 01:00")) == moment("2026-06-02 01:00"));
  CHECK(daily.latest_in(from, moment("2026-06-09 15:00")) == moment("2026-06-09 01:00"));
  CHECK_FALSE(daily.latest_in(moment("2026-06-02 01:00"), moment("2026-06-02 01:00")));
  CHECK_FALSE(daily.latest_in(moment("2026-06-02 01:00"), moment("2026-06-03 00:00")));
  CHECK_FALSE(daily.latest_in(moment("2026-06-03 01:00"), moment("2026-06-02 01:00")));
}

TEST_CASE("cron: what was due before the clock went back is missed, not to come") {
  const Cron daily = Cron::parse("30 1 * * *", "America/New_York");
  // 01:10 for the second time; the only 01:30 of that day was forty minutes ago.
  CHECK(daily.latest_in(moment("2026-10-31 12:00"), moment("2026-11-01 06:10")) ==
        moment("2026-11-01 05:30"));
}

TEST_CASE("cron: intervals count from the epoch, so that all nodes agree") {
  const auto at = [](std::int64_t ms) { return Cron::Moment(std::chrono::milliseconds(ms)); };
  CHECK_FALSE(latest_interval(10s, at(20'000), at(29'999)));
  CHECK(latest_interval(10s, at(20'000), at(30'000)) == at(30'000));
  CHECK(latest_interval(10s, at(20'000), at(75'123)) == at(70'000));
  CHECK(latest_interval(10s, at(19'999), at(20'000)) == at(20'000));
  CHECK_FALSE(latest_interval(10s, at(20'000), at(20'000)));
  CHECK_FALSE(latest_interval(10s, at(50'000), at(20'000)));
}

TEST_CASE("cron: what is wrong with a line is said in one sentence") {
  const auto refused = [](const char* line, const char* zone = "UTC") -> std::string {
    try {
      Cron::parse(line, zone);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "accepted";
  };
  const std::pair<const char*, const char*> rows[] = {
      {"61 * * * *", R"(cron "61 * * * *": minute 61 is not in 0-59)"},
      {"* 24 * * *", R"(cron "* 24 * * *": hour 24 is not in 0-23)"},
      {"* * 0 * *", R"(cron "* * 0 * *": day of month 0 is not in 1-31)"},
      {"* * * 13 *", R"(cron "* * * 13 *": month 13 is not in 1-12)"},
      {"* * * * 8", R"(cron "* * * * 8": day of week 8 is not in 0-7)"},
      {"a * * * *", R"(cron "a * * * *": minute "a" is no number)"},
      {"* * * foo *", R"(cron "* * * foo *": month "foo" is no number)"},
      {"1,,2 * * * *", R"(cron "1,,2 * * * *": minute "" is no number)"},
      {"1- * * * *", R"(cron "1- * * * *": minute "" is no number)"},
      {"1-2-3 * * * *", R"(cron "1-2-3 * * * *": minute "2-3" is no number)"},
      {"-1 * * * *", R"(cron "-1 * * * *": minute "" is no number)"},
      {"+1 * * * *", R"(cron "+1 * * * *": minute "+1" is no number)"},
      {"5-3 * * * *", R"(cron "5-3 * * * *": minute range 5-3 runs backwards)"},
      {"*/0 * * * *", R"(cron "*/0 * * * *": step 0 is not in 1-59)"},
      {"*/60 * * * *", R"(cron "*/60 * * * *": step 60 is not in 1-59)"},
      {"*/ * * * *", R"(cron "*/ * * * *": step "" is no number)"},
      {"99999999999999999999 * * * *",
       R"(cron "99999999999999999999 * * * *": minute "99999999999999999999" is no number)"},
      {"", R"(cron "": 0 fields, expected 5: minute hour day month weekday)"},
      {"* * * *", R"(cron "* * * *": 4 fields, expected 5: minute hour day month weekday)"},
      {"* * * * * *", R"(cron "* * * * * *": 6 fields, expected 5: minute hour day month weekday)"},
      {"@reboot", R"(cron "@reboot": 1 fields, expected 5: minute hour day month weekday)"},
  };
  for (const auto& [line, sentence] : rows) CHECK(refused(line) == sentence);
  CHECK(refused("* * * * *", "Mars/Olympus") ==
        R"(cron "* * * * *": zone "Mars/Olympus" is not in the time zone database)");
  CHECK(refused("* * * * *", "") != "accepted");
  CHECK(refused("* * * * *", "../../../etc/passwd") != "accepted");
}

}  // namespace
}  // namespace rowcrew
