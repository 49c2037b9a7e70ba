// Cron against two others: a walk over every minute with the C library's idea of local time, and
// next_after against latest_in.
#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>
#include <random>
#include <set>
#include <vector>

#include "cron_moments.hpp"
#include "queue/cron.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using testing::moment;
using testing::text;

/// A random line together with what its fields mean.
struct Line {
  std::set<int> minutes, hours, days, months, weekdays;
  bool any_day = false;
  bool any_weekday = false;
  std::string text;

  bool matches(std::int64_t local_minute) const {
    const std::time_t seconds = local_minute * 60;
    std::tm t{};
    ::gmtime_r(&seconds, &t);
    if (!minutes.contains(t.tm_min) || !hours.contains(t.tm_hour)) return false;
    if (!months.contains(t.tm_mon + 1)) return false;
    const bool day = days.contains(t.tm_mday);
    const bool weekday = weekdays.contains(t.tm_wday);
    return any_day || any_weekday ? day && weekday : day || weekday;
  }
};

class Lines {
 public:
  explicit Lines(std::uint64_t seed) : random_(seed) {}

  Line next() {
    Line line;
    bool star = false;
    line.text = field(0, 59, line.minutes, star, 0.2);
    line.text += " " + field(0, 23, line.hours, star, 0.4);
    line.text += " " + field(1, 31, line.days, line.any_day, 0.6);
    line.text += " " + field(1, 12, line.months, star, 0.7);
    line.text += " " + field(0, 6, line.weekdays, line.any_weekday, 0.6);
    return line;
  }
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

 private:
  std::string field(int low, int high, std::set<int>& values, bool& star, double star_chance) {
    star = std::bernoulli_distribution(star_chance)(random_);
    std::string text;
    const int parts = star ? 1 : between(1, 3);
    for (int i = 0; i < parts; ++i) {
      int from = low, to = high, step = 1;
      std::string part = "*";
      if (!star) {
        from = between(low, high);
        to = between(0, 2) == 0 ? from : between(from, high);
        part = std::to_string(from) + (to == from ? "" : "-" + std::to_string(to));
      }
      if (to > from && between(0, 3) == 0) {
        step = between(1, high);
        part += "/" + std::to_string(step);
      }
      for (int v = from; v <= to; v += step) values.insert(v);
      text += (i > 0 ? "," : "") + part;
    }
    return text;
  }

  std::mt19937_64 random_;
};

/// Local time of the C library, for one zone at a time.
class LocalTime {
 public:
  explicit LocalTime(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  ~LocalTime() {
    ::unsetenv("TZ");
    ::tzset();
  }
  std::int64_t minute(std::int64_t utc_minute) const {
    const std::time_t seconds = utc_minute * 60;
    std::tm t{};
    ::localtime_r(&seconds, &t);
    return ::timegm(&t) / 60;
  }
};

/// Every due moment in [from, to), found by walking. A minute of local time that was passed over is
/// due where it was passed over; one that comes again is not.
std::vector<std::string> walked(const Line& line, const LocalTime& local, std::int64_t from,
                                std::int64_t to) {
  std::vector<std::string> due;
  std::int64_t high = local.minute(from - 1);
  for (std::int64_t back = 1; back < 240; ++back) high = std::max(high, local.minute(from - back));
  for (std::int64_t now = from; now < to; ++now) {
    const std::int64_t here = local.minute(now);
    bool is_due = false;
    for (std::int64_t m = high + 1; m <= here; ++m) is_due = is_due || line.matches(m);
    high = std::max(high, here);
    if (is_due) due.push_back(text(Cron::Moment(std::chrono::minutes(now))));
  }
  return due;
}

std::vector<std::string> computed(const Cron& cron, std::int64_t from, std::int64_t to) {
  std::vector<std::string> due;
  const Cron::Moment end{std::chrono::minutes(to)};
  for (auto at = cron.next_after(Cron::Moment(std::chrono::minutes(from)) - 1ms); at && *at < end;
       at = cron.next_after(*at)) {
    due.push_back(text(*at));
  }
  return due;
}

TEST_CASE("cron: around the changes of the clock it finds what a walk over every minute finds") {
  struct Change {
    const char* zone;
    const char* day;
  };
  const Change changes[] = {
      {"America/New_York", "2026-03-07 00:00"},    {"America/New_York", "2026-10-31 00:00"},
      {"Europe/Berlin", "2026-03-28 00:00"},       {"Europe/Berlin", "2026-10-24 00:00"},
      {"Australia/Lord_Howe", "2026-04-04 00:00"},  // half an hour
      {"America/Havana", "2026-10-31 12:00"},       // back over midnight
      {"Asia/Kathmandu", "2026-02-27 00:00"},       // none
  };
  Lines lines(11);
  std::size_t found = 0;
  for (const Change& change : changes) {
    const LocalTime local(change.zone);
    const std::int64_t from = moment(change.day).time_since_epoch() / 1min;
    for (int i = 0; i < 12; ++i) {
      const Line line = lines.next();
      CAPTURE(change.zone);
      CAPTURE(line.text);
      const auto expected = walked(line, local, from, from + 3 * 1440);
      CHECK(computed(Cron::parse(line.text, change.zone), from, from + 3 * 1440) == expected);
      found += expected.size();
    }
  }
  CHECK(found > 1'000);
}

TEST_CASE("cron: the latest of a span is the last that stepping forward finds") {
  Lines lines(12);
  int some = 0;
  int none = 0;
  for (int i = 0; i < 150; ++i) {
    const Line line = lines.next();
    const char* zone = i % 3 == 0 ? "UTC" : i % 3 == 1 ? "America/New_York" : "Europe/Berlin";
    const Cron cron = Cron::parse(line.text, zone);
    for (int j = 0; j < 3; ++j) {
      // Spans of up to four days, half of them around the changes of March and November.
      const char* around = lines.between(0, 1) == 0 ? "2026-03-07 00:00" : "2026-10-30 00:00";
      const Cron::Moment after = moment(around) + std::chrono::minutes(lines.between(0, 2 * 1440)) +
                                 std::chrono::milliseconds(lines.between(0, 1) * 17);
      const Cron::Moment upto = after + std::chrono::minutes(lines.between(0, 400 << (2 * j)));
      std::optional<Cron::Moment> last;
      for (auto at = cron.next_after(after); at && *at <= upto; at = cron.next_after(*at))
        last = at;
      CAPTURE(line.text);
      CAPTURE(zone);
      CAPTURE(text(after));
      CHECK(cron.latest_in(after, upto) == last);
      ++(last ? some : none);
    }
  }
  CHECK(some > 50);
  CHECK(none > 50);
}

}  // namespace
}  // namespace rowcrew
