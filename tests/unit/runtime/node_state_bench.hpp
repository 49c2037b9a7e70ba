// The state of a node without database, clock or network: for what takes a NodeState and decides by itself.
#pragma once

#include <boost/asio/io_context.hpp>

#include "runtime/node_state.hpp"
#include "support/fake_clock.hpp"
#include "support/fake_db.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/log_capture.hpp"

namespace rowcrew::testing {

struct NodeStateBench {
  boost::asio::io_context io;
  NodeConfig config;
  FakeDb db;
  Registry registry;
  PortCatalog ports;
  FakeClock clock;
  FakeRandom random;
  FakeJobTransactions transactions{clock};
  LogCapture log;
  NodeState state{io.get_executor(), config, db, registry, ports, transactions, clock, random, log};
};

}  // namespace rowcrew::testing
