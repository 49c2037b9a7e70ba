// rowcrew key: API keys of POST /v1/jobs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/cipher.hpp"
#include "base/exit_code.hpp"
#include "base/system_clock.hpp"
#include "base/units.hpp"
#include "cli/api_key.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/text_table.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kText = "API keys of POST /v1/jobs: create, list, revoke.";
constexpr std::string_view kUsage =
    "key create --name NAME --job-types A,B | key list | key revoke NAME";
constexpr std::size_t kMaxName = 100;

std::string checked_name(const std::string& name) {
  // What stands behind a colon is the unique key of a request: "shop:eu" could be taken for a key of "shop".
  const bool plain = std::none_of(name.begin(), name.end(),
                                  [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f || c == ':'; });
  if (!name.empty() && name.size() <= kMaxName && plain) return name;
  throw UsageError(fmt::format("--name: {}, expected 1 to 100 characters, no colon", shown(name)));
}

void warn_of_reach(const std::vector<std::string>& types, std::ostream& err) {
  constexpr std::array<std::string_view, 3> kReaching = {"command", "http", "sql"};
  for (const std::string& type : types) {
    if (std::find(kReaching.begin(), kReaching.end(), type) == kReaching.end()) continue;
    err << "note: with \"" << type << "\" this key runs entries of the nodes' allow-lists\n";
  }
}

int create(Invocation& call) {
  Arguments args("key create --name NAME --job-types A,B",
                 "Makes a key and prints it: once, it is kept nowhere.");
  args.value("name", "NAME", "who will use it")
      .value("job-types", "A,B",
             "what may be enqueued with it; \"*\": all but command, http and sql")
      .flag("json", "print {\"name\": …, \"key\": …}");
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (!args.has("name") || !args.has("job-types")) {
    throw UsageError("key create: expected --name and --job-types");
  }
  const std::string name = checked_name(args.get("name", ""));
  const auto types = parse_job_types(args.get("job-types", ""));
  SystemRandom random;
  const std::string key = make_api_key(random);
  try {
    run_once(args.connection(), TxMode::autocommit, [&](Tx& tx) {
      tx.exec(sql::cli_key_create, Params{}.add(name).add(sha256_hex(key)).add_array(types));
    });
  } catch (const DbError& e) {
    if (e.sqlstate() != "23505") throw;
    throw PermanentError(
        "taken", fmt::format("key {}: the name is taken, perhaps by a revoked key", shown(name)));
  }
  warn_of_reach(types, call.err);
  call.err << "This is the only time that the key is shown:\n";
  call.err.flush();
  call.out << (args.has("json")
                   ? ordered_json{{"name", name}, {"key", key}, {"job_types", types}}.dump()
                   : key)
           << "\n";
  call.out.flush();
  if (!call.out) {
    throw PermanentError("unshown", fmt::format("key {0}: it is stored, but could not be written to standard output: nobody "
                                                "knows it, end it with rowcrew key revoke {0}", shown(name)));
  }
  return kExitOk;
}

int list(Invocation& call) {
  Arguments args("key list [--json]", "Prints every key ever made, without the keys themselves.");
  args.flag("json", "one object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  Rows rows;
  run_once(args.connection(), TxMode::autocommit,
           [&](Tx& tx) { rows = tx.exec(sql::cli_key_list, Params{}); });
  std::vector<std::vector<std::string>> table = {{"NAME", "JOB TYPES", "CREATED", "REVOKED"}};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto types = ordered_json::parse(rows.text(row, 1)).get<std::vector<std::string>>();
    if (args.has("json")) {
      ordered_json object = {
          {"name", rows.text(row, 0)}, {"job_types", types}, {"created_at", rows.text(row, 2)}};
      object["revoked_at"] =
          rows.is_null(row, 3) ? ordered_json() : ordered_json(rows.text(row, 3));
      call.out << object.dump() << "\n";
    } else {
      table.push_back({std::string(rows.text(row, 0)), fmt::format("{}", fmt::join(types, ",")),
                       std::string(rows.text(row, 2)), std::string(rows.text(row, 3))});
    }
  }
  if (!args.has("json")) call.out << format_table(table);
  return kExitOk;
}

int revoke(Invocation& call) {
  Arguments args("key revoke NAME", "Revokes a key: from its next request on it is unknown.");
  args.word("NAME");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const std::string name = args.get("NAME", "");
  bool found = false;
  run_once(args.connection(), TxMode::autocommit,
           [&](Tx& tx) { found = !tx.exec(sql::cli_key_revoke, Params{}.add(name)).empty(); });
  if (!found) {
    throw PermanentError("not_found",
                         fmt::format("key {}: not found, or revoked before", shown(name)));
  }
  call.out << "revoked " << name << "\n";
  return kExitOk;
}

int run_key(Invocation& call) {
  if (call.args.empty())
    throw UsageError(fmt::format("key: expected what to do (usage: rowcrew {})", kUsage));
  const std::string word = call.args.front();
  call.args.erase(call.args.begin());
  if (word == "create") return create(call);
  if (word == "list") return list(call);
  if (word == "revoke") return revoke(call);
  if (word == "--help" || word == "-h") {
    call.out << "Usage: rowcrew " << kUsage << "\n\n" << kText << "\n";
    return kExitOk;
  }
  throw UsageError(fmt::format("key: {}, expected create, list or revoke", shown(word)));
}

}  // namespace

Command key_command() {
  return {"key", "create, list and revoke API keys", run_key};
}

}  // namespace rowcrew::cli
