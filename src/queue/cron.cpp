#include "queue/cron.hpp"

#include <date/date.h>
#include <date/tz.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <vector>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

struct Field {
  std::string_view name;
  unsigned low;
  unsigned high;
  std::vector<std::string_view> words;  ///< names of values, from `low` on
};

const std::array<Field, 5>& fields() {
  static const std::array<Field, 5> kFields{{
      {"minute", 0, 59, {}},
      {"hour", 0, 23, {}},
      {"day of month", 1, 31, {}},
      {"month", 1, 12, {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {"day of week", 0, 7, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
  }};
  return kFields;
}

[[noreturn]] void refuse(std::string_view line, const std::string& why) {
  throw ConfigError(fmt::format("cron \"{}\": {}", line, why));
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

unsigned parse_value(std::string_view text, const Field& field, std::string_view line) {
  for (std::size_t i = 0; i < field.words.size(); ++i) {
    if (text == field.words[i]) return field.low + static_cast<unsigned>(i);
  }
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
    refuse(line, fmt::format("{} \"{}\" is no number", field.name, text));
  }
  if (value < field.low || value > field.high) {
    refuse(line, fmt::format("{} {} is not in {}-{}", field.name, value, field.low, field.high));
  }
  return value;
}

/// One comma-separated part: "*", "5", "1-5", "*/10", "10-50/5", "5/10" (5 to the end).
template <class Set>
void parse_part(std::string_view part, const Field& field, std::string_view line, Set&& set) {
  unsigned step = 1;
  const auto slash = part.find('/');
  const bool stepped = slash != std::string_view::npos;
  if (stepped) {
    const Field step_field{"step", 1, field.high, {}};
    step = parse_value(part.substr(slash + 1), step_field, line);
    part = part.substr(0, slash);
  }
  unsigned from = field.low;
  unsigned to = field.high;
  if (part != "*") {
    const auto dash = part.find('-');
    from = parse_value(part.substr(0, dash), field, line);
    to = dash == std::string_view::npos ? (stepped ? field.high : from) : parse_value(part.substr(dash + 1), field, line);
    if (to < from) refuse(line, fmt::format("{} range {} runs backwards", field.name, part));
  }
  for (unsigned v = from; v <= to; v += step) set(v);
}

/// Case does not matter, and a tab is a blank.
std::string normalised(std::string_view given) {
  std::string line(given);
  for (char& c : line) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '\t') c = ' ';
  }
  return line;
}

std::string_view expand(std::string_view line) {
  if (line == "@hourly") return "0 * * * *";
  if (line == "@daily" || line == "@midnight") return "0 0 * * *";
  if (line == "@weekly") return "0 0 * * 0";
  if (line == "@monthly") return "0 0 1 * *";
  if (line == "@yearly" || line == "@annually") return "0 0 1 1 *";
  return line;
}

using LocalDays = date::local_days;

date::local_seconds local_time(LocalDays day, unsigned hour, unsigned minute) {
  return date::local_seconds(day) + std::chrono::hours(hour) + std::chrono::minutes(minute);
}

/// A local time as an instant: the transition for one that does not exist, the earlier one of two.
date::sys_seconds instant(const date::time_zone* zone, date::local_seconds local) {
  const date::local_info info = zone->get_info(local);
  if (info.result == date::local_info::nonexistent) return info.second.begin;
  return date::sys_seconds{local.time_since_epoch()} - info.first.offset;
}

Cron::Moment to_moment(date::sys_seconds t) {
  return Cron::Moment(std::chrono::milliseconds(t.time_since_epoch()));
}

date::sys_seconds floor_seconds(Cron::Moment t) {
  return date::sys_seconds(std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()));
}

}  // namespace

Cron Cron::parse(std::string_view given, std::string_view zone) {
  const std::string line = normalised(given);
  Cron cron;
  cron.zone_ = std::string(zone);
  try {
    date::locate_zone(cron.zone_);
  } catch (const std::runtime_error&) {
    throw ConfigError(fmt::format("cron \"{}\": zone \"{}\" is not in the time zone database", line, zone));
  }
  std::vector<std::string_view> words;
  for (const std::string_view word : split(expand(line), ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.size() != fields().size()) {
    refuse(line, fmt::format("{} fields, expected 5: minute hour day month weekday", words.size()));
  }
  const auto read = [&](std::size_t index, auto&& set) {
    for (const std::string_view part : split(words[index], ',')) parse_part(part, fields()[index], line, set);
  };
  read(0, [&](unsigned v) { cron.minutes_.set(v); });
  read(1, [&](unsigned v) { cron.hours_.set(v); });
  read(2, [&](unsigned v) { cron.days_.set(v); });
  read(3, [&](unsigned v) { cron.months_.set(v); });
  read(4, [&](unsigned v) { cron.weekdays_.set(v % 7); });
  cron.any_day_ = words[2].starts_with('*');
  cron.any_weekday_ = words[4].starts_with('*');
  return cron;
}

bool Cron::day_matches(unsigned day, unsigned month, unsigned weekday) const {
  if (!months_.test(month)) return false;
  const bool by_day = days_.test(day);
  const bool by_weekday = weekdays_.test(weekday);
  if (any_day_ || any_weekday_) return by_day && by_weekday;
  return by_day || by_weekday;
}

// Moments follow in the order of their local times, the two of an ambiguous one and those of a gap
// included: that is what lets both searches skip most candidates without asking the zone.

std::optional<Cron::Moment> Cron::next_after(Moment t) const {
  const date::time_zone* zone = date::locate_zone(zone_);
  const date::local_seconds over = zone->to_local(floor_seconds(t));
  LocalDays day = date::floor<date::days>(over);
  for (int i = 0; i < 8 * 366; ++i, day += date::days(1)) {
    const date::year_month_day ymd{day};
    if (!day_matches(unsigned(ymd.day()), unsigned(ymd.month()), date::weekday{day}.c_encoding())) {
      continue;
    }
    for (unsigned hour = 0; hour < 24; ++hour) {
      if (!hours_.test(hour)) continue;
      for (unsigned minute = 0; minute < 60; ++minute) {
        const date::local_seconds local = local_time(day, hour, minute);
        if (!minutes_.test(minute) || local <= over) continue;
        const auto at = to_moment(instant(zone, local));
        if (at > t) return at;
      }
    }
  }
  return std::nullopt;
}

std::optional<Cron::Moment> Cron::latest_in(Moment after, Moment upto) const {
  const date::time_zone* zone = date::locate_zone(zone_);
  const date::sys_seconds end = floor_seconds(upto);
  date::local_seconds newest = zone->to_local(end);
  // Shortly after the clock went back, later local times may be over already.
  if (zone->get_info(end).begin > end - date::days(1)) newest += date::days(1);
  const LocalDays first = date::floor<date::days>(zone->to_local(floor_seconds(after)));
  for (LocalDays day = date::floor<date::days>(newest); day >= first; day -= date::days(1)) {
    const date::year_month_day ymd{day};
    if (!day_matches(unsigned(ymd.day()), unsigned(ymd.month()), date::weekday{day}.c_encoding())) {
      continue;
    }
    for (unsigned hour = 24; hour-- > 0;) {
      if (!hours_.test(hour)) continue;
      for (unsigned minute = 60; minute-- > 0;) {
        const date::local_seconds local = local_time(day, hour, minute);
        if (!minutes_.test(minute) || local > newest) continue;
        const auto at = to_moment(instant(zone, local));
        if (at <= after) return std::nullopt;
        if (at <= upto) return at;
      }
    }
  }
  return std::nullopt;
}

std::optional<Cron::Moment> latest_interval(std::chrono::milliseconds every, Cron::Moment after, Cron::Moment upto) {
  const auto since = upto.time_since_epoch().count();
  const Cron::Moment at{std::chrono::milliseconds(since - since % every.count())};
  return at > after ? std::optional(at) : std::nullopt;
}

}  // namespace rowcrew
