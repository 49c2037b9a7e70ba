// One libpq connection, opened and asked without ever blocking for longer than told.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <string>

#include "pg/interrupt.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

struct ConnectionCloser {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, ConnectionCloser>;

/// Opens connections for one owner, one at a time.
class Connector {
 public:
  explicit Connector(PoolOptions options) : options_(std::move(options)) {}

  /// Every host of the URL gets its connect timeout; the first that answers wins, and the next
  /// call begins with it. A call that a host's refusal ended makes the next one begin behind it. `interrupt` may be null. Only the look-up of a host name cannot be
  /// interrupted (libpq asks the system's resolver).
  ///
  /// Throws DbError (08001, or 53300 when the server has no connection left; connection_lost), TransientError("db_stopped") when interrupted, ConfigError.
  Connection connect(const Interrupt* interrupt);

  const PoolOptions& options() const { return options_; }

 private:
  PoolOptions options_;
  std::size_t first_host_ = 0;
};

/// Runs SQL text that returns nothing of interest. Throws as connect() does, and DbError of the
/// server's answer.
void run_batch(PGconn* connection, const std::string& sql, std::chrono::milliseconds within,
               const Interrupt* interrupt);

/// Neither a standby nor read-only by default, as the server itself last reported. Not asked: costs
/// nothing, and is current after every answer.
bool server_writes(const PGconn* connection);

/// The connection's last error as one line.
std::string last_error(const PGconn* connection);

}  // namespace rowcrew
