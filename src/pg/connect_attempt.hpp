// One attempt to connect, on a thread of its own, awaited by the event thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <memory>
#include <string>
#include <thread>

#include "pg/connection.hpp"

namespace rowcrew {

class ConnectAttempt {
 public:
  /// Connects and runs `batch` (settings, LISTEN …) on the new connection. Resumes when the attempt
  /// has ended; being cancelled makes it end, and is thrown then. `current` lets an owner that is
  /// destroyed meanwhile end the attempt. Both references must live until then.
  static boost::asio::awaitable<std::shared_ptr<ConnectAttempt>> make(Connector& connector, const std::string& batch,
                                                                     std::weak_ptr<ConnectAttempt>& current);

  ConnectAttempt() = default;
  ~ConnectAttempt() { end(); }
  ConnectAttempt(const ConnectAttempt&) = delete;
  ConnectAttempt& operator=(const ConnectAttempt&) = delete;

  /// Interrupts it and waits for its thread.
  void end();

  Connection connection;     ///< null when it failed
  std::exception_ptr error;  ///< why, when it failed
  std::string failure() const;
  bool crowded() const;  ///< the server has no connection left for us

 private:
  void run(Connector& connector, const std::string& batch);
  void join();

  Interrupt interrupt_;
  std::thread thread_;
};

}  // namespace rowcrew
