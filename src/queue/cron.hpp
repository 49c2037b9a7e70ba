// Cron lines with a zone, and plain intervals: which moment is due. Pure apart from the zone
// database (tzdata), which is read once.
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rowcrew {

/// Five fields: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec, day of week 0-7
/// (0 and 7 are Sunday) or sun-sat; `*`, lists, ranges, `/steps`; case does not matter; @hourly,
/// @daily, @weekly, @monthly, @yearly. When both day fields are restricted a day matching either is
/// due, as in POSIX crontab(5).
///
/// Daylight saving: a local time that does not exist runs at the moment the clock jumps; one that
/// happens twice runs at its first occurrence.
class Cron {
 public:
  using Moment = std::chrono::sys_time<std::chrono::milliseconds>;

  /// Throws ConfigError naming the field: `cron "61 * * * *": minute 61 is not in 0-59`.
  static Cron parse(std::string_view line, std::string_view zone);

  /// The first due moment strictly after `t`; nullopt when there is none within eight years
  /// (30 February).
  std::optional<Moment> next_after(Moment t) const;
  /// The latest due moment in (after, upto]; nullopt when none. Cost grows with the number of days
  /// between, not with the number of moments missed.
  std::optional<Moment> latest_in(Moment after, Moment upto) const;

 private:
  bool day_matches(unsigned day, unsigned month, unsigned weekday) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = true;
  bool any_weekday_ = true;
  std::string zone_;
};

/// For "every" schedules: the latest multiple of `every` since the epoch in (after, upto].
std::optional<Cron::Moment> latest_interval(std::chrono::milliseconds every, Cron::Moment after,
                                            Cron::Moment upto);

}  // namespace rowcrew
