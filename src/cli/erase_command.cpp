// rowcrew erase: empties what is known of one person, page by page, each page a transaction.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/run_checked.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Empties what rowcrew's own tables know of one person: jobs that have ended, mails that were\n"
    "sent, and both in the archive. A row is the person's if any of the options says so. What is\n"
    "counted and paid for stays (types, times, codes, costs); jobs that have not ended stay whole\n"
    "and are counted: cancel them first. May be repeated. The audit log tells who, why and how\n"
    "many, never whose.";

struct Totals {
  std::int64_t jobs = 0;
  std::int64_t mails = 0;
  std::int64_t archived = 0;
  std::int64_t live = 0;
  std::int64_t skipped = 0;
};

std::string scope_of(const Arguments& args) {
  nlohmann::json scope = nlohmann::json::object();
  if (args.has("tenant")) scope["tenant"] = args.get("tenant", "");
  if (args.has("address")) scope["address"] = args.get("address", "");
  if (scope.empty() && !args.has("payload")) throw UsageError("erase: expected whose: --tenant, --payload or --address");
  std::string text = scope.dump();
  if (!args.has("payload")) return text;
  const std::string part = args.get("payload", "");
  if (!nlohmann::json::accept(part)) throw UsageError("--payload: is no JSON, expected an object such as {\"user\": 42}");
  text.pop_back();
  return text + (scope.empty() ? "" : ",") + "\"payload\":" + part + "}";
}

Totals erase(const PoolOptions& connection, const std::optional<std::string>& number, const std::string& scope) {
  Totals totals;
  std::optional<std::string> at;
  do {
    Params params;
    params.add(number).add(scope).add(at);
    Rows rows;
    run_checked(connection, [&](Tx& tx) { rows = tx.exec(sql::cli_erase_page, params); });
    totals.jobs += rows.integer(0, 0);
    totals.mails += rows.integer(0, 1);
    totals.archived += rows.integer(0, 2);
    totals.live += rows.integer(0, 3);
    totals.skipped += rows.integer(0, 4);
    at = rows.is_null(0, 5) ? std::nullopt : std::optional(std::string(rows.text(0, 5)));
  } while (at);
  return totals;
}

void report(Invocation& call, const Arguments& args, const Totals& totals) {
  if (args.has("json")) {
    call.out << nlohmann::ordered_json{{"jobs", totals.jobs}, {"mails", totals.mails}, {"archived", totals.archived},
                                       {"live", totals.live}, {"skipped", totals.skipped}, {"preview", args.has("preview")}}.dump() << "\n";
    return;
  }
  call.out << fmt::format("{} {} jobs, {} mails, {} archived rows\n", args.has("preview") ? "would erase" : "erased", totals.jobs,
                          totals.mails, totals.archived);
  if (totals.live > 0) call.out << fmt::format("{} jobs have not ended: cancel them or wait, then erase again\n", totals.live);
  if (totals.skipped > 0) call.out << fmt::format("{} jobs are held by somebody: erase again\n", totals.skipped);
}

int run_erase(Invocation& call) {
  Arguments args("erase [options]", kText);
  args.value("tenant", "NAME", "of jobs; the account of mails")
      .value("payload", "JSON", "what payloads (inputs of generations) contain: {\"user\": 42}")
      .value("address", "MAIL", "the recipient of mails, \"to\" of payloads")
      .value("reason", "TEXT", "written into the audit log: the number of the request")
      .flag("preview", "count, and change nothing")
      .flag("json", "one object");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const std::string scope = scope_of(args);
  const PoolOptions connection = args.connection();
  std::optional<std::string> number;
  if (!args.has("preview")) {
    run_checked(connection, [&](Tx& tx) { number = std::string(tx.exec(sql::cli_erase_begin, Params{}.add(scope).add(args.get("reason"))).text(0, 0)); });
  }
  const Totals totals = erase(connection, number, scope);
  report(call, args, totals);
  return totals.live + totals.skipped > 0 && !args.has("preview") ? kExitFailure : kExitOk;
}

}  // namespace

Command erase_command() {
  return {"erase", "erase what is known of one person", run_erase};
}

}  // namespace rowcrew::cli
