// rowcrew schedules: when each is due next, and what became of its last moment.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/text_table.hpp"
#include "queue/cron.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::string_view kText =
    "Lists the schedules: when each is due next (by the database's clock; \"overdue\" where a moment\n"
    "has passed and no leader has seen to it), its last moment and what became of the job of that. No\n"
    "job: the one before had not ended and the schedule must not overlap, or it has been removed\n"
    "since. Needs the rights of rowcrew_viewer.";

struct Schedule {
  std::string name, cron, zone, job_type, queue;
  milliseconds every{0};
  bool enabled = false;
  Cron::Moment since, now;
  std::string last_text, job, status;
  std::optional<Cron::Moment> last;
};

/// When it is due: the past one that nobody saw to, else the next.
struct Due {
  std::optional<Cron::Moment> at;
  bool over = false;
};

Cron::Moment moment(std::int64_t ms) { return Cron::Moment(milliseconds(ms)); }

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

int run_schedules(Invocation& call) {
  Arguments args("schedules [--json]", kText);
  args.flag("json", "one object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  Rows rows;
  run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_schedules, Params{}); });
  std::vector<std::vector<std::string>> table = {{"NAME", "WHEN", "ZONE", "TYPE", "QUEUE", "DUE", "LAST", "JOB", "STATUS"}};
  for (const Schedule& s : read_schedules(rows)) {
    if (args.has("json")) call.out << to_json(s).dump() << "\n";
    table.push_back({s.name, s.every.count() > 0 ? "every " + format_duration(s.every) : s.cron, s.every.count() > 0 ? "" : s.zone, s.job_type, s.queue,
                     due_text(s), s.last_text, s.job, s.last && s.job.empty() ? "no job" : s.status});
  }
  if (!args.has("json")) call.out << (rows.empty() ? "there are no schedules\n" : format_table(table));
  return kExitOk;
}

}  // namespace

Command schedules_command() { return {"schedules", "list schedules: when due, and what became of the last moment", run_schedules}; }

}  // namespace rowcrew::cli
