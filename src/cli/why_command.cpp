// rowcrew why: what keeps one job from running.
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/escape.hpp"
#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/job_id.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

int run_why(Invocation& call) {
  Arguments args("why JOB [--json]",
                 "Tells in one line why a job is not running, and until when; or where it runs, or\n"
                 "how it ended. Costs a few pages however many jobs there are. JOB is an id, or\n"
                 "TABLE:KEY of an adopted table, which it reads with your own rights.");
  args.word("JOB").flag("json", "one object: reason, text, until, details");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const std::string id = args.get("JOB", "");
  const auto adopted = adopted_job(id);
  Params params;
  if (adopted) {
    params.add(adopted->table).add(adopted->key);
  } else {
    params.add(checked_job_id(id));
  }
  Rows rows;
  run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(adopted ? sql::cli_why_adopted : sql::cli_why, params); });
  std::string line;
  if (args.has("json")) {
    line = rows.text(0, 1);
  } else {
    append_prose(line, rows.text(0, 0));  // the error in it may be what a stranger's program wrote
  }
  call.out << line << "\n";
  return kExitOk;
}

}  // namespace

Command why_command() {
  return {"why", "tell why a job is not running", run_why};
}

}  // namespace rowcrew::cli
