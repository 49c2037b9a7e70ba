#include "programs/node_program.hpp"

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include <csignal>
#include <iostream>

#include "base/config.hpp"
#include "base/event.hpp"
#include "base/exit_code.hpp"
#include "base/log_setup.hpp"
#include "base/process_limits.hpp"
#include "base/sd_notify.hpp"
#include "base/system_clock.hpp"
#include "net/curl_http_client.hpp"
#include "net/make_mailer.hpp"
#include "pg/db_metrics.hpp"
#include "pg/lane.hpp"
#include "pg/pool_settings.hpp"
#include "pg/same_database.hpp"
#include "proc/posix_child_runner.hpp"
#include "queue/fenced_transactions.hpp"
#include "queue/lease_keeper.hpp"
#include "workers/registry.hpp"
#include "schema/schema.hpp"

namespace rowcrew {
namespace {

namespace po = boost::program_options;

LogOptions read_log_options(const Settings& root, const std::string& node) {
  const Settings log = root.section("log");
  LogOptions options;
  options.format = parse_log_format(log.text("format", "auto"));
  options.level = parse_log_level(log.text("level", "info"));
  options.node = node;
  return options;
}

/// Connections of handlers are apart from the engine's, so that neither can starve the other. Their
/// statements end before the lease can: while the node beats, this much of it is always left.
PoolOptions handler_pool(PoolOptions options, const Settings& root, const NodeConfig& config) {
  const LeaseTimes lease = LeaseTimes::of(config.lease);
  options.statement_timeout = std::min(
      options.statement_timeout, std::chrono::duration_cast<std::chrono::milliseconds>(lease.stop_after - lease.beat_every * 3 / 2));
  options.threads = static_cast<unsigned>(root.section("database").integer("handler_threads", 2, 1, 64));
  options.application_name += "/handlers";
  return options;
}

/// The engine's statements are short. One whose server fell silent has to be given up on while there
/// is still time to renew the lease over another connection.
PoolOptions engine_pool(PoolOptions options, const NodeConfig& config) {
  const auto longest = std::max<std::chrono::milliseconds>(config.lease / 4, std::chrono::seconds(5));
  options.statement_timeout = std::min(options.statement_timeout, longest);
  return options;
}

/// A child must be gone before the lease ends (engine protocol: K) and before the node's stop does.
std::chrono::milliseconds child_grace(const NodeConfig& config) {
  const auto of_lease = std::chrono::duration_cast<std::chrono::milliseconds>(LeaseTimes::of(config.lease).grace);
  return std::min(of_lease * 4 / 5, config.stop_within / 5);
}

/// Before the HTTP client reads them.
void check_limits(const NodeConfig& config, const PoolOptions& engine, const PoolOptions& handlers, Log& log) {
  ProcessNeeds needs{engine.threads + 2 * handlers.threads + config.lanes + 1, 0};  // and the listener
  for (const auto& [queue, slots] : config.queues) needs.transfers += slots;
  for (const std::string& shortage : shortages(widened_limits(), needs)) {
    log.warning(event::kLimitLow, {}, shortage);
  }
}

/// What is still on its way when a node has had its time to stop refers to statements of everybody.
struct EndFirst {
  Pool& handlers;
  Pool& engine;
  ~EndFirst() {
    handlers.end();
    engine.end();
  }
};

int run_configured(const NodeProgram& program) {
  ConfigSources sources{program.config_file, program.environment ? *program.environment : rowcrew_environment(), program.flags};
  const Settings root = load_config(sources);
  NodeConfig config = read_node_config(root);
  if (program.adjust) program.adjust(config);
  const LogOptions log_options = read_log_options(root, config.name);
  PoolOptions database = read_pool_options(root, "rowcrewd/" + config.name);
  database.same_database = std::make_shared<SameDatabase>();
  if (!config.metrics_listen.empty()) database.errors = std::make_shared<SqlstateCounts>();
  const PoolOptions connection = engine_pool(database, config);
  const PoolOptions handler_connection = handler_pool(database, root, config);
  EgressGuard guard(config.egress_allow);

  const auto log = make_log(log_options);
  check_limits(config, connection, handler_connection, *log);
  boost::asio::io_context io(1);
  SystemClock clock;
  SystemRandom random;
  sd_watchdog_interval();  // remembers, before the environment is cleaned for children
  CurlHttpClient http(io.get_executor(), std::move(guard));
  PosixChildRunner children(io.get_executor(), config.shim, clock, *log, child_grace(config));
  Pool handlers_pool(handler_connection, *log);
  PortCatalog ports;
  FencedTransactions transactions(handlers_pool, ports, clock, config.tables, handler_connection,
                                  make_lanes(handler_connection, handler_connection.threads, io.get_executor(), clock));
  const auto mail = make_mailer(io.get_executor(), root.section("mail"), EgressGuard(config.egress_allow));
  Settings kinds = root.section("kinds");
  Deps deps{handlers_pool, ports, http, *mail, children, clock, random, *log, kinds};
  Registry registry;
  register_kinds(registry, deps);
  if (program.more_handlers) program.more_handlers(registry, deps);
  check_unknown(root);
  if (program.check_config) {
    std::cout << describe_config(root);
    return kExitOk;
  }
  Pool pool(connection, *log);
  const auto lease_held = [&children](Mono until) { children.hold_until(until); };
  const auto table_described = [&transactions](TableMap map) { transactions.describe(std::move(map)); };
  NodeParts parts{io,     config, connection, pool,            registry,        ports,           transactions, clock,
                  random, *log,   lease_held, table_described, ROWCREW_VERSION, schema::version(),
                  &handlers_pool};
  Node node(std::move(parts));
  const EndFirst threads{handlers_pool, pool};
  return node.run(program.mode);
}

}  // namespace

int run_node_program(const NodeProgram& program) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run_configured(program);
  } catch (const ConfigError& e) {
    std::cerr << "rowcrewd: " << e.what() << std::endl;
    return kExitConfig;
  } catch (const std::exception& e) {
    std::cerr << "rowcrewd: " << e.what() << std::endl;
    return kExitFailure;
  }
}

std::optional<int> parse_node_arguments(int argc, const char* const* argv, NodeProgram& program) {
  namespace style = po::command_line_style;
  po::options_description options("rowcrewd: claims jobs from PostgreSQL and runs them\n\nUsage: rowcrewd [options]");
  options.add_options()
      ("config,c", po::value(&program.config_file)->value_name("FILE"), "settings; see rowcrewd.example.yaml")
      ("log", po::value<std::string>()->value_name("FORMAT"), "auto, logfmt, json or journal")
      ("log-level", po::value<std::string>()->value_name("LEVEL"), "debug, info, warning or error")
      ("check-config", po::bool_switch(&program.check_config), "print the effective settings and exit")
      ("version", "print the version and exit")
      ("help,h", "print this and exit");
  po::variables_map values;
  try {
    // A file that is named without --config would be passed over, and a node run on the defaults.
    po::store(po::command_line_parser(argc, argv)
                  .options(options)
                  .positional(po::positional_options_description())
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              values);
    po::notify(values);
  } catch (const po::error& e) {
    std::cerr << "rowcrewd: " << e.what() << ", see rowcrewd --help" << std::endl;
    return kExitUsage;
  }
  if (values.contains("help")) {
    std::cout << options;
    return kExitOk;
  }
  if (values.contains("version")) {
    std::cout << fmt::format("rowcrewd {} (schema {})\n", ROWCREW_VERSION, schema::version());
    return kExitOk;
  }
  if (values.contains("log")) program.flags["log.format"] = values["log"].as<std::string>();
  if (values.contains("log-level")) program.flags["log.level"] = values["log-level"].as<std::string>();
  return std::nullopt;
}

}  // namespace rowcrew
