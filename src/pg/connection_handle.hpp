// Reaching into a connection that another thread is using.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <mutex>

namespace rowcrew {

/// What another thread may do to a connection in use.
class ConnectionHandle {
 public:
  void attach(PGconn* connection);
  /// Before the connection is closed: its descriptor may be somebody else's right after.
  void detach();

  /// Sends nothing by itself; null while detached.
  std::shared_ptr<PGcancel> canceller() const;
  /// Ends every wait on the connection, even when the peer is silent.
  void shut_down_socket();

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<PGcancel> cancel_;
  int socket_ = -1;
};

}  // namespace rowcrew
