// rowcrew why: what keeps one job from running.
#include <ostream>

#include <rowcrew/db_error.hpp>

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
                 "how it ended. Costs a few pages however many jobs there are.");
  args.word("JOB").flag("json", "one object: reason, text, until, details");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const std::string id = args.get("JOB", "");
  if (adopted_job(id)) throw UsageError("JOB: " + id + " is a job of an adopted table, whose own status tells; why knows rowcrew's own tables");
  const Params params = Params{}.add(checked_job_id(id));
  Rows rows;
  run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_why, params); });
  call.out << rows.text(0, args.has("json") ? 1 : 0) << "\n";
  return kExitOk;
}

}  // namespace

Command why_command() {
  return {"why", "tell why a job is not running", run_why};
}

}  // namespace rowcrew::cli
