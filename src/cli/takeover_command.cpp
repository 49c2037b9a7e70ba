// rowcrew takeover: lets the fleet work on a restored or copied database.
#include <fmt/format.h>

#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/error.hpp>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/audit.hpp"
#include "cli/builtin.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Nodes refuse to work on a database that was restored or copied from somewhere else, so that "
    "a\n"
    "staging copy mails nobody. This makes the copy an installation of its own. Whatever is in "
    "its\n"
    "tables will run: look at it first. Needs the rights of rowcrew_owner.";

struct Found {
  std::string installation;  ///< empty: the row that tells it was removed
  bool home = false;
  std::string database;
  std::string server;
  std::int64_t live_nodes = 0;
};

Found look(const PoolOptions& connection) {
  Found found;
  run_once(connection, TxMode::transaction, [&](Tx& tx) {
    const Rows meta = tx.exec(sql::node_installation, Params{});
    if (!meta.empty()) {
      found.installation = meta.text(0, 0);
      found.home = meta.is_null(0, 3) || meta.boolean(0, 3);
    }
    const Rows place = tx.exec(sql::cli_takeover_found, Params{});
    found.database = place.text(0, 0);
    found.server = place.text(0, 1);
    found.live_nodes = place.integer(0, 2);
  });
  return found;
}

void describe(const Found& found, std::ostream& out) {
  if (found.installation.empty()) {
    out << fmt::format("database {} on {}: which installation this is nobody knows, rowcrew.meta is empty\n", found.database, found.server);
    return;
  }
  out << fmt::format("database {} on {}: installation {}, {}\n", found.database, found.server,
                     found.installation,
                     found.home ? "at home here" : "which belongs to another server or database");
}

void announce(const Found& found, std::ostream& out) {
  if (found.live_nodes == 0) return;
  out << fmt::format(
      "{} nodes of the original are listed as live; they will be marked dead and "
      "their jobs rescued\n",
      found.live_nodes);
}

/// Throws when nobody says yes.
void confirm(Invocation& call, const Found& found) {
  if (!call.interactive) throw UsageError("takeover: nobody to ask here, expected --yes");
  call.err << fmt::format("Let the fleet work on this copy? Type \"{}\" to go on: ",
                          found.database);
  call.err.flush();
  std::string answer;
  std::getline(call.in, answer);
  if (answer != found.database) throw PermanentError("declined", "takeover: nothing was changed");
}

int run_takeover(Invocation& call) {
  Arguments args("takeover [--yes] [--force]", kText);
  args.flag("yes", "do not ask")
      .flag("force",
            "also when it is at home already: the copy of a whole server cannot be told from it");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const PoolOptions connection = args.connection();
  const Found found = look(connection);
  describe(found, call.out);
  if (found.home && !args.has("force")) {
    call.out << "nothing to take over\n";
    return kExitOk;
  }
  announce(found, call.out);
  call.out.flush();
  if (!args.has("yes")) confirm(call, found);
  std::string installation;
  run_once(connection, TxMode::transaction, [&](Tx& tx) {
    installation = tx.exec(sql::cli_takeover, Params{}).text(0, 0);
    audit(
        tx, "installation.takeover", installation,
        {{"from", found.installation}, {"was_home", found.home}, {"live_nodes", found.live_nodes}});
  });
  call.out << "taken over: this is installation " << installation << " now\n";
  return kExitOk;
}

}  // namespace

Command takeover_command() {
  return {"takeover", "let the fleet work on a restored copy", run_takeover};
}

}  // namespace rowcrew::cli
