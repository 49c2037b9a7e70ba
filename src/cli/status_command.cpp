// rowcrew status: what the fleet is doing.
#include <ostream>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/fleet_reading.hpp"
#include "cli/status_metrics.hpp"
#include "cli/status_report.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Prints the live nodes with what of their work does nothing but fail; per table what is claimed,\n"
    "completed per minute (the mean of the last five whole ones) and failed in the last hour; the\n"
    "same per job type, those first that fail most, with what was tried again and how long they run;\n"
    "per queue what is ready and for how long its oldest job has been due, parked and why; queues\n"
    "where jobs wait that no node serves; retention that is overdue, and what is paused. Needs the\n"
    "rights of rowcrew_viewer.";

int run_status(Invocation& call) {
  Arguments args("status [--json|--prometheus]", kText);
  args.flag("json", "one object").flag("prometheus", "in the text format of Prometheus, for its node exporter's textfile collector");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const bool json = args.has("json");
  const bool metrics = args.has("prometheus");
  if (json && metrics) throw UsageError("status: --json and --prometheus, expected one of them");
  FleetStatus fleet;
  run_once(args.connection(), TxMode::transaction, [&](Tx& tx) { fleet = read_fleet(tx); });
  call.out << (json ? status_json(fleet) : metrics ? status_metrics(fleet) : status_text(fleet));
  return kExitOk;
}

}  // namespace

Command status_command() {
  return {"status", "nodes, queues, what waits and why", run_status};
}

}  // namespace rowcrew::cli
