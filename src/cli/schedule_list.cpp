#include "cli/schedule_list.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

namespace rowcrew::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

/// When it is due: the past one that nobody saw to, else the next.
struct Due {
  std::optional<Cron::Moment> at;
  bool over = false;
};

Cron::Moment moment(std::int64_t ms) { return Cron::Moment(milliseconds(ms)); }

Due due_of(const Schedule& s) {
  if (!s.enabled) return {};
  if (s.every.count() > 0) {
    if (const auto missed = latest_interval(s.every, s.since, s.now)) return {missed, true};
    return {s.now + s.every - s.now.time_since_epoch() % s.every, false};
  }
  const Cron cron = Cron::parse(s.cron, s.zone);
  if (const auto missed = cron.latest_in(s.since, s.now)) return {missed, true};
  return {cron.next_after(s.now), false};
}

std::string format_moment(const char* format, Cron::Moment at) {
  return fmt::format(fmt::runtime(format), std::chrono::time_point_cast<std::chrono::seconds>(at));
}

}  // namespace

std::vector<Schedule> read_schedules(const Rows& rows) {
  std::vector<Schedule> all(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Schedule& s = all[row];
    s.name = rows.text(row, 0);
    s.cron = rows.text(row, 1);
    if (!rows.is_null(row, 2)) s.every = milliseconds(rows.integer(row, 2));
    s.zone = rows.text(row, 3);
    s.job_type = rows.text(row, 4);
    s.queue = rows.text(row, 5);
    s.enabled = rows.boolean(row, 6);
    s.since = moment(rows.integer(row, 7));
    s.now = moment(rows.integer(row, 8));
    s.last_text = rows.text(row, 9);
    if (!rows.is_null(row, 10)) s.last = moment(rows.integer(row, 10));
    s.job = rows.text(row, 11);
    s.status = rows.text(row, 12);
  }
  return all;
}

std::string due_text(const Schedule& s) {
  if (!s.enabled) return "off";
  try {
    const Due due = due_of(s);
    if (!due.at) return "never";
    return format_moment("{:%Y-%m-%d %H:%M:%S} UTC", *due.at) + (due.over ? ", overdue" : "");
  } catch (const ConfigError& e) {  // a zone that this machine does not know
    return e.what();
  }
}

std::optional<milliseconds> overdue_by(const Schedule& s) {
  try {
    if (!due_of(s).over) return std::nullopt;
    const Cron::Moment first = s.every.count() > 0 ? s.since + s.every - s.since.time_since_epoch() % s.every
                                                   : Cron::parse(s.cron, s.zone).next_after(s.since).value_or(s.now);
    return s.now - first;
  } catch (const ConfigError&) {
    return std::nullopt;
  }
}

ordered_json to_json(const Schedule& s) {
  const auto time = [](std::optional<Cron::Moment> at) { return at ? ordered_json(format_moment("{:%Y-%m-%dT%H:%M:%S}Z", *at)) : ordered_json(); };
  const auto text = [](const std::string& value) { return value.empty() ? ordered_json() : ordered_json(value); };
  Due due;
  ordered_json problem;
  try {
    due = due_of(s);
  } catch (const ConfigError& e) {
    problem = e.what();
  }
  return {{"name", s.name}, {"cron", text(s.cron)}, {"every_ms", s.every.count() > 0 ? ordered_json(s.every.count()) : ordered_json()}, {"zone", s.zone},
          {"job_type", s.job_type}, {"queue", s.queue}, {"enabled", s.enabled}, {"due", time(due.at)}, {"overdue", due.over}, {"problem", problem},
          {"last", time(s.last)}, {"job", text(s.job)}, {"status", text(s.status)}};
}

}  // namespace rowcrew::cli
