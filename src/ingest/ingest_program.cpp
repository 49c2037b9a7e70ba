#include "ingest/ingest_program.hpp"

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <string>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "ingest/ingest_config.hpp"
#include "ingest/ingest_process.hpp"

namespace rowcrew {
namespace {

namespace po = boost::program_options;

struct CommandLine {
  std::string config;
  std::map<std::string, std::string> flags;
  bool check_config = false;
  bool help = false;
  bool version = false;
};

po::options_description describe_options() {
  po::options_description options(
      "rowcrew-ingest: takes jobs over HTTP and enqueues them\n\nUsage: rowcrew-ingest [options]");
  options.add_options()("config,c", po::value<std::string>()->value_name("FILE"),
                        "settings; see etc/ingest.yaml")(
      "log", po::value<std::string>()->value_name("FORMAT"), "auto, logfmt, json or journal")(
      "log-level", po::value<std::string>()->value_name("LEVEL"), "debug, info, warning or error")(
      "check-config", "print the effective settings and exit")(
      "version", "print the version and exit")("help,h", "print this and exit");
  return options;
}

/// Throws UsageError.
CommandLine parse(int argc, char** argv) {
  namespace style = po::command_line_style;
  CommandLine line;
  po::variables_map found;
  try {
    po::store(po::command_line_parser(argc, argv)
                  .options(describe_options())
                  .positional(po::positional_options_description())
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              found);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("command line: {}, see --help", e.what()));
  }
  if (found.count("config") > 0) line.config = found["config"].as<std::string>();
  if (found.count("log") > 0) line.flags["log.format"] = found["log"].as<std::string>();
  if (found.count("log-level") > 0) line.flags["log.level"] = found["log-level"].as<std::string>();
  line.check_config = found.count("check-config") > 0;
  line.help = found.count("help") > 0;
  line.version = found.count("version") > 0;
  return line;
}

int run(const CommandLine& line) {
  if (line.help) {
    std::cout << describe_options();
    return kExitOk;
  }
  if (line.version) {
    std::cout << "rowcrew-ingest " ROWCREW_VERSION "\n";
    return kExitOk;
  }
  ConfigSources sources;
  sources.file = line.config;
  sources.env = rowcrew_environment();
  sources.flags = line.flags;
  const Settings root = load_config(sources);
  const IngestConfig config = read_ingest_config(root);
  check_unknown(root);
  if (line.check_config) {
    std::cout << describe_config(root);
    return kExitOk;
  }
  return serve_ingest(config);
}

int complain(const std::exception& error, ExitCode code) {
  std::cerr << "rowcrew-ingest: " << error.what() << std::endl;
  return code;
}

}  // namespace

int run_ingest(int argc, char** argv) {
  // A peer that hangs up is an error of one write, not of the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(parse(argc, argv));
  } catch (const UsageError& e) {
    return complain(e, kExitUsage);
  } catch (const ConfigError& e) {
    return complain(e, kExitConfig);
  } catch (const std::exception& e) {
    return complain(e, kExitFailure);
  }
}

}  // namespace rowcrew
