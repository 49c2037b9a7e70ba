#include "programs/work_command.hpp"

#include <ostream>

#include <rowcrew/error.hpp>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "programs/node_program.hpp"

namespace rowcrew {
namespace {

int run_work(cli::Invocation& call) {
  cli::Arguments arguments("work [options]", "Runs a node in the foreground, as rowcrewd does.");
  arguments.flag("until-empty", "end when nothing is due, runs or waits to be written")
      .value("log", "FORMAT", "auto, logfmt, json or journal")
      .value("log-level", "LEVEL", "debug, info, warning or error");
  if (!arguments.parse(call.args, call.out)) return kExitOk;
  NodeProgram program;
  program.config_file = arguments.config_file();
  if (const auto url = arguments.get("database")) program.flags["database.url"] = *url;
  if (const auto format = arguments.get("log")) program.flags["log.format"] = *format;
  if (const auto level = arguments.get("log-level")) program.flags["log.level"] = *level;
  if (arguments.has("until-empty")) program.mode = NodeMode::until_empty;
  // It is about to end, and may be run beside a node with the same file.
  if (program.mode == NodeMode::until_empty) program.adjust = [](NodeConfig& config) { config.metrics_listen.clear(); };
  return run_node_program(program);
}

}  // namespace

cli::Command work_command() {
  return {"work", "run a node here; --until-empty ends when the queue is empty", run_work};
}

}  // namespace rowcrew
