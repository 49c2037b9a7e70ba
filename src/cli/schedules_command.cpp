// rowcrew schedules: when each is due next, and what became of its last moment.
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/schedule_list.hpp"
#include "cli/text_table.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Lists the schedules: when each is due next (by the database's clock; \"overdue\" where a moment\n"
    "has passed and no leader has seen to it), its last moment and what became of the job of that. No\n"
    "job: the one before had not ended and the schedule must not overlap, or it has been removed\n"
    "since. Needs the rights of rowcrew_viewer.";

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
