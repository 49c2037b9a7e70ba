// Database threads, one connection each, behind a bounded queue.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/log.hpp>

namespace rowcrew {

class Interrupt;
class SameDatabase;
class SqlstateCounts;

struct PoolOptions {
  std::string url;               ///< libpq URI or keywords; several hosts allowed
  std::string application_name;  ///< shows in pg_stat_activity
  /// Asked at every connect when set (password files and commands that rotate), on a database
  /// thread, perhaps on several at once. Ends early once the Interrupt (may be null) is triggered.
  std::function<std::optional<std::string>(const Interrupt*)> password;
  /// Keywords sslrootcert, sslcert, sslkey -> files, read by libpq at every connect; what the URL
  /// says of them wins. With sslrootcert the connection is verify-full, and any other sslmode refused.
  std::map<std::string, std::string, std::less<>> tls_files;
  unsigned threads = 4;                    ///< 1..64
  std::size_t queue = 256;                 ///< closures that may wait; one more is "db_busy"
  std::chrono::milliseconds wait{10'000};  ///< longest wait for a free thread: "db_timeout"
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds statement_timeout{30'000};
  std::chrono::milliseconds lock_timeout{400};  ///< below the server's deadlock_timeout (1 s)
  /// True behind a transaction pooler: no session settings, no named prepared statements; every
  /// transaction sets what it needs itself.
  bool pooled = false;
  std::string direct_url;  ///< with `pooled`: past the pooler, for what needs a session; may be empty
  /// When set, a connection that leads to another database than the first of its process is none. Behind a
  /// transaction pooler, which connects by itself, that is asked again and again.
  std::shared_ptr<SameDatabase> same_database;
  std::shared_ptr<SqlstateCounts> errors;  ///< told of each that callers get; may be null
};

/// What LISTEN connects with: the same, or past the pooler. Nullopt: there is no way past it.
std::optional<PoolOptions> direct_options(const PoolOptions& options);

/// Every connection runs with READ COMMITTED, row_security=off, TimeZone UTC, an empty search_path
/// and nested-loop plans (engine-protocol: "connections"). A lost connection is replaced before
/// the next closure; the closure that met it gets DbError. Connecting is retried with backoff for
/// as long as a closure's `wait` allows; while the database is away one db.unreachable line is
/// logged a minute, and one db.reconnected when it is back. A server that does not answer two
/// seconds after statement_timeout counts as lost, and so does one that has become read-only. After
/// one lost connection all others are replaced before they are used again: what hit one of them has
/// mostly hit them all, and each would take its own time to find out. Where the server or a pooler
/// refuses it more connections, work waits for those that it has, and db.crowded says so. The pool
/// must be destroyed before the io_contexts of its callers.
class Pool final : public Db {
 public:
  /// Connects with the first closure. Throws ConfigError: a malformed URL, threads out of range.
  Pool(PoolOptions options, Log& log);
  ~Pool() override;  ///< end()

  /// No new closures, and those that wait for a thread or for a connection are abandoned. Waits
  /// for running ones at most `within`, then cancels their statements, and a second later shuts
  /// their sockets down. Returns two seconds after `within` at the latest.
  void stop(std::chrono::milliseconds within);
  /// stop() at once, and waits for the threads: what closures refer to may go then. Whoever awaits one
  /// is told in its io_context, if that still runs.
  void end();

  /// Whether the last connection attempt or statement of any thread reached the server; false
  /// before the first.
  bool reachable() const;
  /// `told` is called on a database thread whenever a connection was lost. Once, before the first
  /// closure.
  void on_loss(std::function<void()> told);
  std::size_t waiting() const;
  struct Usage {
    std::size_t in_use = 0;  ///< threads at work
    std::size_t size = 0;    ///< threads
    std::size_t waiting = 0;
  };
  Usage usage() const;
  /// Somebody else of this process found that the server has no connection left: those that rest are
  /// closed but for one, and for five seconds work waits for the others. Any thread.
  void give_way();

 protected:
  boost::asio::awaitable<void> submit(TxMode mode, std::function<void(Tx&)> work) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Runs `work` on a fresh connection on the calling thread and closes it: for terminal commands and
/// the migrator. Same settings and errors as a pool's connection.
void run_once(const PoolOptions& options, TxMode mode, const std::function<void(Tx&)>& work);

/// Executes SQL text that may hold several statements (migrations only). `tx` must come from
/// run_once or a Pool.
void exec_script(Tx& tx, std::string_view sql);

}  // namespace rowcrew
