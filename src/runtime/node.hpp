// One node: builds the services, starts them, and stops them in order.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/job_transactions.hpp>
#include <rowcrew/random.hpp>
#include <rowcrew/registry.hpp>

#include "base/log_setup.hpp"
#include "pg/pool.hpp"
#include "queue/port_catalog.hpp"
#include "queue/table_map.hpp"
#include "runtime/node_config.hpp"

namespace rowcrew {

enum class NodeMode {
  forever,      ///< until SIGTERM or SIGINT
  until_empty,  ///< also ends when nothing is due, runs or waits to be written
};

struct NodeParts {
  boost::asio::io_context& io;
  const NodeConfig& config;
  const PoolOptions& connection;  ///< for the listener
  Pool& pool;                     ///< the engine's own connections; handlers have others
  Registry& registry;
  PortCatalog& ports;
  JobTransactions& transactions;
  Clock& clock;
  Random& random;
  ProcessLog& log;
  std::function<void(Mono)> lease_held;  ///< after every heartbeat: until when children may run
  std::function<void(TableMap)> table_described;  ///< one of an application, before a job of it is claimed
  std::string version;
  int schema_version;  ///< what the program was built for
  const Pool* handlers = nullptr;  ///< their connections, for the metrics
};

/// Life: check the installation (repeated while the database is away), register, run; on SIGTERM or
/// SIGINT stop claiming, wait for running jobs, cancel the rest, hand back with the attempt, flush,
/// unregister; all within config.stop_within. A second signal skips the wait.
class Node {
 public:
  explicit Node(NodeParts parts);
  ~Node();

  /// Blocks, running the io_context, until the end. Exit codes: 0 stopped in order, 78 the database
  /// is not one to work on (said in one line), 1 a service kept failing.
  int run(NodeMode mode);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rowcrew
