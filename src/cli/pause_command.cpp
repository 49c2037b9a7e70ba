// rowcrew pause, rowcrew resume: start nothing of a queue, job type, tenant or limit key for a while.
#include <fmt/format.h>

#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/escape.hpp"
#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/listing.hpp"
#include "cli/run_checked.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr auto kLongest = std::chrono::hours{24 * 3650};
const std::vector<std::string> kScopes = {"queue", "type", "tenant", "key"};
constexpr std::string_view kPauseText =
    "Nodes start nothing of it until it is resumed, or for as long as --for says; what runs goes\n"
    "on. Takes effect within a second. Without arguments: lists what is paused.";

std::string checked_scope(const std::string& scope) {
  for (const std::string& known : kScopes) {
    if (scope == known) return scope;
  }
  throw UsageError(fmt::format("SCOPE: {}, expected queue, type, tenant or key", shown(scope)));
}

/// Names of tenants are what strangers wrote.
void print_done(Invocation& call, std::string line, const std::string& name, const char* remark = "") {
  append_prose(line += " ", name);
  call.out << line << remark << "\n";
}

int list(Invocation& call, const Arguments& args) {
  Rows rows;
  run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_pauses, Params{}); });
  print_listing(call, args, rows, {"SCOPE", "NAME", "BY", "SINCE", "UNTIL", "REASON"}, "nothing is paused");
  return kExitOk;
}

int run_pause(Invocation& call) {
  Arguments args("pause [queue|type|tenant|key NAME] [options]", kPauseText);
  args.optional_word("SCOPE")
      .optional_word("NAME")
      .value("for", "SPAN", "resume by itself after so long: 30m, 2h")
      .value("reason", "TEXT", "shown by rowcrew why")
      .flag("json", "with the list: one object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (!args.has("SCOPE")) return list(call, args);
  if (!args.has("NAME")) throw UsageError("NAME: missing, expected what to pause");
  const std::string scope = checked_scope(args.get("SCOPE", ""));
  const auto span = args.duration("for", kLongest);
  Params params;
  params.add(scope).add(args.get("NAME", "")).add(args.get("reason"));
  span ? params.add(*span) : params.add(std::nullopt);
  bool no_such_limit = false;
  run_checked(args.connection(), [&](Tx& tx) { no_such_limit = tx.exec(sql::cli_pause, params).boolean(0, 0); });
  print_done(call, "paused " + scope, args.get("NAME", ""), no_such_limit ? ": no job has it, there is no such limit" : "");
  return kExitOk;
}

int run_resume(Invocation& call) {
  Arguments args("resume queue|type|tenant|key NAME", "Lets nodes start jobs of it again.");
  args.word("SCOPE").word("NAME");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const std::string scope = checked_scope(args.get("SCOPE", ""));
  const std::string name = args.get("NAME", "");
  bool was_paused = false;
  run_checked(args.connection(), [&](Tx& tx) { was_paused = tx.exec(sql::cli_resume, Params{}.add(scope).add(name)).boolean(0, 0); });
  if (!was_paused) throw PermanentError("not_found", fmt::format("{} {}: is not paused", scope, shown(name)));
  print_done(call, "resumed " + scope, name);
  return kExitOk;
}

}  // namespace

Command pause_command() {
  return {"pause", "start nothing of a queue, job type, tenant or key", run_pause};
}

Command resume_command() {
  return {"resume", "end a pause", run_resume};
}

}  // namespace rowcrew::cli
