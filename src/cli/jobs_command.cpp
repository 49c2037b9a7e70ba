// rowcrew jobs: which jobs there are of a kind, newest first.
#include <nlohmann/json.hpp>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/job_filter.hpp"
#include "cli/listing.hpp"
#include "cli/run_checked.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::int64_t kUsual = 20;
constexpr std::int64_t kMost = 10'000;
constexpr std::string_view kText =
    "Lists jobs, newest first: what each is, how it stands, since or until when (AT: when one that\n"
    "waits is due, one that runs was started, one that ended did so), and its last error. JOB is what\n"
    "rowcrew why, cancel and redrive take. Reads the newest until it has found as many as asked for:\n"
    "quick, unless few match. Needs the rights of rowcrew_viewer, for an adopted table your own on it.";

int run_jobs(Invocation& call) {
  Arguments args("jobs [options]", kText);
  args.value("status", "WORD", "pending, retrying, waiting (both), processing, completed, failed or cancelled");
  add_filter_options(args);
  args.value("limit", "N", "at most so many, 20 if nothing is said").flag("json", "one object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  nlohmann::ordered_json filter = nlohmann::ordered_json::parse(filter_of(args).value_or("{}"));
  if (const auto status = args.get("status")) filter["status"] = *status;
  const Params params = Params().add(filter.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).add(args.integer("limit", 1, kMost).value_or(kUsual));
  Rows rows;
  run_checked(args.connection(), [&](Tx& tx) { rows = tx.exec(sql::cli_jobs, params); });
  print_listing(call, args, rows, {"JOB", "TYPE", "QUEUE", "TENANT", "STATUS", "ATTEMPTS", "AT", "ERROR"}, "there are no such jobs");
  return kExitOk;
}

}  // namespace

Command jobs_command() {
  return {"jobs", "list jobs by status, type, queue, tenant, error or time", run_jobs};
}

}  // namespace rowcrew::cli
