// One connection with our settings, running closures.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "pg/answer_watch.hpp"
#include "pg/connection.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

struct SessionState;

/// What every statement of ours relies on, as one batch of SET: of the session, or of a transaction
/// behind a pooler.
std::string settings_batch(const PoolOptions& options);

/// One thread at a time.
class Session {
 public:
  enum class Plans { kept, single_use };
  struct Watchers {
    const Interrupt* interrupt = nullptr;  ///< ends the constructor's waits
    AnswerWatch* answers = nullptr;        ///< told of every statement
  };

  /// Applies the settings (within the connect timeout); throws as Connector::connect does.
  Session(Connection connection, const PoolOptions& options, Plans plans, Watchers watchers);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Throws what `work` throws (after ROLLBACK), and DbError.
  void run(TxMode mode, const std::function<void(Tx&)>& work);

  /// False when the session has to be replaced. Looks at the socket: a server that went away while
  /// the session was idle is noticed here, not by the next closure.
  bool usable();

  PGconn* raw() const { return connection_.get(); }

 private:
  void look_again();

  Connection connection_;
  const PoolOptions options_;
  const Interrupt* interrupt_;
  SteadyTime looked_;
  std::unique_ptr<SessionState> state_;
};

}  // namespace rowcrew
