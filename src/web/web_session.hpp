// One run of `rowcrew web`: an HTTP server for people who look, a small pool of connections.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <iosfwd>
#include <memory>
#include <string>

#include "base/log_setup.hpp"
#include "base/service.hpp"
#include "base/system_clock.hpp"
#include "net/http_server.hpp"
#include "pg/pool.hpp"
#include "web/web_handler.hpp"

namespace rowcrew::web {

struct WebOptions {
  WebOptions() = default;
  std::string listen = "127.0.0.1:8088";  ///< as http_listen.hpp has it
  std::string token;
  bool show_token = false;  ///< in the address that is printed
  bool acts = false;
  PoolOptions connection;
  LogOptions log;
};

class WebSession {
 public:
  /// `out` gets the address to open. Throws ConfigError when it cannot be listened on.
  WebSession(WebOptions options, std::ostream& out);

  /// Blocks until SIGINT or SIGTERM. Returns an ExitCode.
  int run();

 private:
  boost::asio::awaitable<void> live();
  std::string address() const;

  const WebOptions options_;
  std::ostream& out_;
  std::unique_ptr<ProcessLog> log_;
  boost::asio::io_context io_{1};
  SystemClock clock_;
  SystemRandom random_;
  Pool pool_;
  WebHandler handler_;
  HttpServer server_;
  Supervisor supervisor_;
  boost::asio::signal_set signals_;
  int exit_code_;
};

}  // namespace rowcrew::web
