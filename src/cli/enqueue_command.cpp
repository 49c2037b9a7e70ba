// rowcrew enqueue: one job from the terminal.
#include <fmt/format.h>

#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "base/read_file.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::size_t kMaxPayload = std::size_t{64} << 20;
constexpr auto kMaxDelay = std::chrono::hours{24 * 3650};
constexpr std::string_view kText =
    "Enqueues one job and prints its id. With --unique-key and a live job of that key: prints "
    "that\n"
    "job's id and enqueues nothing. What is not given comes from rowcrew.job_type.";

std::string read_payload(const std::string& argument, std::istream& in) {
  if (argument == "-") return {std::istreambuf_iterator<char>(in), {}};
  if (!argument.starts_with('@')) return argument;
  ReadResult read = read_file(argument.substr(1), kMaxPayload);
  if (!read.ok()) throw UsageError(fmt::format("--payload: {}: {}", argument, read.reason));
  return std::move(read.content);
}

Params read_params(const Arguments& args, std::istream& in) {
  if (args.get("TYPE", "").empty()) throw UsageError("TYPE: empty, expected the name of a job type");
  Params params;
  params.add(args.get("TYPE", "")).add(read_payload(args.get("payload", "{}"), in));
  params.add(args.get("queue"));
  const auto priority = args.integer("priority", 0, 9);
  priority ? params.add(*priority) : params.add(std::nullopt);
  const auto delay = args.duration("delay", kMaxDelay);
  delay ? params.add(*delay) : params.add(std::nullopt);
  const auto attempts = args.integer("max-attempts", 1, 1000);
  attempts ? params.add(*attempts) : params.add(std::nullopt);
  params.add(args.get("unique-key")).add(args.get("tenant"));
  return params;
}

int run_enqueue(Invocation& call) {
  Arguments args("enqueue TYPE [options]", kText);
  args.word("TYPE")
      .value("payload", "JSON|@FILE|-", "default: {}; - reads standard input")
      .value("queue", "NAME", "")
      .value("priority", "0-9", "0 is first")
      .value("delay", "SPAN", "not before so long from now: 30s, 10m, 2h")
      .value("max-attempts", "N", "executions in total, 1 to 1000")
      .value("unique-key", "KEY", "at most one live job of this key")
      .value("tenant", "NAME", "on whose behalf: for pauses, limits and cancels by tenant")
      .flag("json", "print {\"id\": …}");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const Params params = read_params(args, call.in);
  std::string id;
  try {
    run_once(args.connection(), TxMode::autocommit,
             [&](Tx& tx) { id = tx.exec(sql::cli_enqueue, params).text(0, 0); });
  } catch (const DbError& e) {
    if (e.sqlstate() == "22P02" || e.sqlstate() == "22P05") throw UsageError("--payload: no JSON that the database can hold");
    if (e.sqlstate() == "23514") throw UsageError(e.what());  // names the rule of the table
    throw;
  }
  call.out << (args.has("json") ? nlohmann::json{{"id", id}}.dump() : id) << "\n";
  return kExitOk;
}

}  // namespace

Command enqueue_command() {
  return {"enqueue", "enqueue one job and print its id", run_enqueue};
}

}  // namespace rowcrew::cli
