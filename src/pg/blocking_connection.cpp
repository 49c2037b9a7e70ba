#include "pg/blocking_connection.hpp"

#include "pg/session.hpp"

namespace rowcrew {

BlockingConnection::BlockingConnection(const PoolOptions& options)
    : session_(std::make_unique<Session>(Connector(options).connect(nullptr), options, Session::Plans::kept,
                                         Session::Watchers{})) {}

BlockingConnection::~BlockingConnection() = default;

Rows BlockingConnection::exec(const Statement& statement, const Params& params) {
  Rows rows;
  session_->run(TxMode::autocommit, [&](Tx& tx) { rows = tx.exec(statement, params); });
  return rows;
}

}  // namespace rowcrew
