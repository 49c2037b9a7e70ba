// rowcrew tail: the log of the whole fleet.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ostream>

#include <rowcrew/error.hpp>
#include "base/exit_code.hpp"
#include "base/log_setup.hpp"
#include "base/system_clock.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/tail_session.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Prints the log lines of all live nodes as they are written, until interrupted. A node sends\n"
    "what its own log level lets through; what it cannot send in time is counted, not kept.\n"
    "Needs the rights of rowcrew_operator.";

/// Ids of the live nodes of that name; also finds out early whether there is a database at all.
std::vector<std::int64_t> find_nodes(const PoolOptions& connection, const std::string& name) {
  Rows rows;
  run_once(connection, TxMode::autocommit,
           [&](Tx& tx) { rows = tx.exec(sql::cli_tail_nodes, Params{}); });
  std::vector<std::int64_t> found;
  std::vector<std::string> live;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    live.emplace_back(rows.text(row, 1));
    if (!name.empty() && live.back() == name) found.push_back(rows.integer(row, 0));
  }
  if (!name.empty() && found.empty()) {
    throw PermanentError(
        "not_found",
        fmt::format("--node: no live node {}, expected one of: {}", shown(name),
                    live.empty() ? "(none)" : fmt::format("{}", fmt::join(live, ", "))));
  }
  return found;
}

int run_tail(Invocation& call) {
  Arguments args("tail [options]", kText);
  args.value("for", "SPAN", "end after so long: 60s, 10m")
      .value("node", "NAME", "this node only")
      .value("level", "LEVEL", "debug, info (default), warning or error, and above")
      .flag("json", "lines as the nodes write them");
  if (!args.parse(call.args, call.out)) return kExitOk;
  TailOptions options;
  options.span = args.duration("for", std::chrono::hours{24 * 30});
  options.filter.level =
      parse_log_level(args.choice("level", "info", {"debug", "info", "warning", "error"}));
  options.filter.node = args.get("node", "");
  options.filter.json = args.has("json");
  options.connection = args.connection();
  options.nodes = find_nodes(options.connection, options.filter.node);
  SystemRandom random;
  options.id = fmt::format("{:016x}", random.bits());
  return TailSession(std::move(options), call.out, call.err).run();
}

}  // namespace

Command tail_command() {
  return {"tail", "follow the log of all nodes", run_tail};
}

}  // namespace rowcrew::cli
