#include "programs/dev/dev_command.hpp"

#include <unistd.h>

#include <csignal>
#include <memory>
#include <ostream>
#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "pg/pool_settings.hpp"
#include "programs/dev/dev_session.hpp"

namespace rowcrew::dev {
namespace {

constexpr std::string_view kText =
    "Runs everything in this terminal: a database, a node, the HTTP ingest and a receiver of\n"
    "webhooks, with a demo app that watches a folder. Photographs that come into it become\n"
    "portraits; mails land in a Maildir. Ctrl-C stops all of it.";
/// Of the private PostgreSQL, beside the ones of the tests.
constexpr const char* kServerName = "dev";
constexpr int kInterrupted = 130;

bool answers(const std::string& script) {
  try {
    run_program({script, "status", kServerName});
    return true;
  } catch (const TransientError&) {
    return false;
  }
}

/// A server that was up before stays up; one that is started here ends with the result.
std::unique_ptr<LastAct> start_server(const std::string& script, std::ostream& out) {
  if (answers(script)) return nullptr;
  out << "starting a private PostgreSQL" << std::endl;
  auto stop = std::make_unique<LastAct>(std::vector<std::string>{script, "stop", kServerName});
  out << run_program({script, "start", kServerName}) << std::flush;
  return stop;
}

PoolOptions private_connection(const std::string& script) {
  std::string url = run_program({script, "url", kServerName});
  while (!url.empty() && url.back() == '\n') url.pop_back();
  ConfigSources sources;
  sources.flags["database.url"] = url;
  return read_pool_options(load_config(sources), "rowcrew dev");
}

int run_dev(cli::Invocation& call) {
  cli::Arguments arguments("dev [options]", kText);
  declare_options(arguments);
  if (!arguments.parse(call.args, call.out)) return kExitOk;
  const DevOptions options = read_options(arguments);
  StopSignals signals;
  std::unique_ptr<LastAct> server;
  PoolOptions connection;
  if (options.private_pg.empty()) {
    connection = arguments.connection();
  } else {
    server = start_server(options.private_pg.string(), call.out);
    connection = private_connection(options.private_pg.string());
  }
  DevSession session(options, connection, signals, call.out, call.err,
                     ::isatty(STDOUT_FILENO) == 1);
  const int status = session.run();
  return status == kExitOk && options.once && signals.stopped() ? kInterrupted : status;
}

}  // namespace

cli::Command dev_command() {
  return {"dev", "everything in one terminal: database, node, demo app, sample photos", run_dev};
}

}  // namespace rowcrew::dev
