// rowcrew limit: how many jobs of a kind run at once in the whole fleet, how many start per time.
#include <fmt/format.h>

#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/listing.hpp"
#include "cli/run_checked.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr auto kLongest = std::chrono::hours{24 * 366};
constexpr std::string_view kText =
    "set:    at most --running at once, or --units per --per (with --burst: a bucket that fills\n"
    "        at that rate), of the jobs of --queue and --type (neither: of all), one key for all\n"
    "        of them or one per value of --by. With no number it is a lane, to be paused by its key.\n"
    "        It replaces a limit of that name whole: what is not given again is gone.\n"
    "remove: what waits for it is free to run.\n"
    "keys:   the keys of a limit that most jobs wait for: how many run of each, how many more may\n"
    "        (ROOM, of a rate in units), how many wait.\n"
    "Without arguments: lists the limits. Holds from the next claim on, fleet-wide.";

int list(Invocation& call, const Arguments& args) {
  Rows rows;
  run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(sql::cli_limits, Params{}); });
  print_listing(call, args, rows,
                {"NAME", "QUEUE", "TYPE", "BY", "RUNNING", "UNITS", "PER", "BURST", "WEIGHT", "KEYS", "SET BY", "AT"}, "there are no limits");
  return kExitOk;
}

int list_keys(Invocation& call, const Arguments& args, const std::string& name) {
  Rows rows;
  run_checked(args.connection(), [&](Tx& tx) { rows = tx.exec(sql::cli_limit_keys, Params{}.add(name)); });
  print_listing(call, args, rows, {"KEY", "RUNNING", "ROOM", "WAITING", "PAUSED UNTIL"}, "none of its keys is in use");
  return kExitOk;
}

/// What a rule is about that these options have set: all of it, for what they leave out is gone.
std::string rule_text(const Arguments& args) {
  const auto with = [&](const char* before, const char* option, const char* behind = "") {
    return args.has(option) ? before + args.get(option, "") + behind : "";
  };
  std::string number = with("at most ", "running", " at once");
  if (args.has("units")) {
    number = with("", "units") + with(" per ", "per") + with(", up to ", "burst", " from a full bucket") + with(", a job counts as its ", "weight");
  }
  const std::string jobs = with(" of queue ", "queue") + with(args.has("queue") ? " and type " : " of type ", "type");
  return (number.empty() ? "no number, a lane" : number) + ", " + (jobs.empty() ? "all jobs" : "jobs" + jobs) +
         (args.has("by") ? with(", one key for each ", "by") : ", one key");
}

/// What waits is moved in the transaction that sets or removes the rule, half a minute's work for a million jobs; another
/// operator's is waited for.
PoolOptions patient(const Arguments& args) {
  PoolOptions connection = args.connection();
  connection.statement_timeout = std::chrono::minutes(10);
  connection.lock_timeout = connection.statement_timeout;
  return connection;
}

int set(Invocation& call, const Arguments& args, const std::string& name) {
  Params params;
  params.add(name);
  for (const char* text : {"queue", "type", "by"}) params.add(args.get(text));
  const auto add_number = [&](const char* option, std::int64_t least, std::int64_t most) {
    const auto value = args.integer(option, least, most);
    value ? params.add(*value) : params.add(std::nullopt);
  };
  add_number("running", 0, 1'000'000);
  add_number("units", 1, 1'000'000'000);
  const auto per = args.duration("per", kLongest);
  per ? params.add(*per) : params.add(std::nullopt);
  add_number("burst", 1, 1'000'000'000);
  params.add(args.get("weight"));
  std::int64_t moved = 0;
  run_checked(patient(args), [&](Tx& tx) { moved = tx.exec(sql::cli_limit_set, params).integer(0, 0); });
  call.out << fmt::format("limit {} is set: {}", name, rule_text(args)) << (moved > 0 ? fmt::format(", {} waiting jobs were moved\n", moved) : "\n");
  return kExitOk;
}

int run(Invocation& call) {
  Arguments args("limit [set|remove|keys NAME] [options]", kText);
  args.optional_word("ACT")
      .optional_word("NAME")
      .value("queue", "QUEUE", "of this queue")
      .value("type", "TYPE", "of this job type")
      .value("by", "WHAT", "a key per tenant, provider or payload.<field>; one that none of the last 1000 such jobs has a value of is refused")
      .value("running", "N", "at most so many run at once")
      .value("units", "N", "so many start per --per")
      .value("per", "SPAN", "1s, 10m, 24h")
      .value("burst", "N", "a bucket that holds so many")
      .value("weight", "payload.<field>", "how many units a job takes")
      .flag("json", "with a list: one object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (!args.has("ACT")) return list(call, args);
  const std::string act = args.get("ACT", "");
  if (act != "set" && act != "remove" && act != "keys") throw UsageError(fmt::format("ACT: {}, expected set, remove or keys", shown(act)));
  if (!args.has("NAME")) throw UsageError("NAME: missing, expected the limit's name");
  const std::string name = args.get("NAME", "");
  if (act == "set") return set(call, args, name);
  if (act == "keys") return list_keys(call, args, name);
  bool was_there = false;
  run_checked(patient(args), [&](Tx& tx) { was_there = tx.exec(sql::cli_limit_remove, Params{}.add(name)).boolean(0, 0); });
  if (!was_there) throw PermanentError("not_found", fmt::format("limit {}: there is none", shown(name)));
  call.out << fmt::format("limit {} is removed\n", name);
  return kExitOk;
}

}  // namespace

Command limit_command() { return {"limit", "limit how many jobs run at once or start per time", run}; }

}  // namespace rowcrew::cli
