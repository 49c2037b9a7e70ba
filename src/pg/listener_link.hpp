// The listener's connection while it stands: drains notifications, notices when the peer is gone.
// Event thread only; never blocks.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>

#include <rowcrew/clock.hpp>

#include "pg/connection.hpp"
#include "pg/listener.hpp"

namespace rowcrew {

class ListenerLink {
 public:
  /// Takes a connection on which LISTEN has been acknowledged. Throws std::system_error when the
  /// process is out of descriptors.
  ListenerLink(Connection connection, boost::asio::any_io_executor executor, Clock& clock);

  /// Hands notifications over until the connection is lost; returns why. A connection that says
  /// nothing for `self_test` is asked, and has `patience` to answer. Throws only when cancelled.
  boost::asio::awaitable<std::string> watch(const Listener::OnNotify& on_notify,
                                            std::chrono::milliseconds self_test,
                                            std::chrono::milliseconds patience);

  /// Ends the silence: the connection is asked now.
  void probe();

 private:
  bool drain(const Listener::OnNotify& on_notify);
  boost::asio::awaitable<bool> ask(const Listener::OnNotify& on_notify, Mono deadline);
  boost::asio::awaitable<bool> readable_until(Mono deadline);

  Connection connection_;
  boost::asio::posix::stream_descriptor socket_;
  Clock& clock_;
  bool doubted_ = false;
};

}  // namespace rowcrew
