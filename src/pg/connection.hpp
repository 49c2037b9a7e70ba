// One libpq connection, opened and asked without ever blocking for longer than told.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <string>

#include <rowcrew/db_error.hpp>

#include "pg/host_addresses.hpp"
#include "pg/interrupt.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

struct ConnectionCloser {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, ConnectionCloser>;

/// Somebody is there and does not let us in: 53300 when there is no connection left, else 08001. A server that
/// starts or ends, or has no such database, is as good as none.
class LoginRefused final : public DbError {
 public:
  using DbError::DbError;
};

/// Opens connections for one owner, one at a time.
class Connector {
 public:
  explicit Connector(PoolOptions options, HostLookUp look_up = look_up_host)
      : options_(std::move(options)), look_up_(std::move(look_up)) {}

  /// Every address of the URL's hosts gets its connect timeout; the first that answers wins, and the
  /// next call begins with it. A call that a refusal ended makes the next one begin behind it.
  /// `interrupt` may be null. An interrupted look-up of a host name goes on in a thread that is left
  /// behind.
  ///
  /// Throws LoginRefused, DbError (08001; connection_lost), TransientError("db_stopped") when
  /// interrupted, ConfigError.
  Connection connect(const Interrupt* interrupt);

  const PoolOptions& options() const { return options_; }

 private:
  PoolOptions options_;
  HostLookUp look_up_;
  std::string first_;  ///< as first_host() tells it
};

/// Runs SQL text that returns nothing of interest. Throws as connect() does, and DbError of the
/// server's answer.
void run_batch(PGconn* connection, const std::string& sql, std::chrono::milliseconds within,
               const Interrupt* interrupt);

/// Asks which database it is, where the options tell to stay with one. Throws as run_batch() does, and DbError (08001;
/// connection_lost) when it is another one.
void check_database(PGconn* connection, const PoolOptions& options, const Interrupt* interrupt);

/// Runs `batch`, which sets up a session, and asks which database it is: in one round trip where the answer is known
/// and no more is to come of it than a refusal. Throws as both of the above do.
void begin_session(PGconn* connection, const std::string& batch, const PoolOptions& options, const Interrupt* interrupt);

/// Neither a standby nor read-only by default, as the server itself last reported. Not asked: costs
/// nothing, and is current after every answer.
bool server_writes(const PGconn* connection);

/// Whether TLS has taken more off the socket than libpq has taken from it: whoever waits for the socket would
/// not be told of that.
bool holds_input(PGconn* connection);

/// The connection's last error as one line.
std::string last_error(const PGconn* connection);

}  // namespace rowcrew
