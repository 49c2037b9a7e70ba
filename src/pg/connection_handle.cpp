#include "pg/connection_handle.hpp"

#include <sys/socket.h>

namespace rowcrew {

void ConnectionHandle::attach(PGconn* connection) {
  const std::lock_guard lock(mutex_);
  cancel_.reset(PQgetCancel(connection), [](PGcancel* c) { PQfreeCancel(c); });
  socket_ = PQsocket(connection);
}

void ConnectionHandle::detach() {
  const std::lock_guard lock(mutex_);
  cancel_.reset();
  socket_ = -1;
}

std::shared_ptr<PGcancel> ConnectionHandle::canceller() const {
  const std::lock_guard lock(mutex_);
  return cancel_;
}

void ConnectionHandle::shut_down_socket() {
  const std::lock_guard lock(mutex_);
  if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
}

}  // namespace rowcrew
