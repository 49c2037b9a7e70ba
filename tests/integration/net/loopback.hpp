// Servers and raw clients on the loopback interface, all on the test's own io_context.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_server.hpp"
#include "support/log_capture.hpp"

namespace rowcrew::testing {

/// The server under test, running until stop().
class RunningServer {
 public:
  explicit RunningServer(boost::asio::io_context& io, HttpServer::Handler handler,
                         HttpServerOptions options = {});
  ~RunningServer();

  std::uint16_t port() const { return server_.port(); }
  std::string url(std::string_view path) const;
  void stop();
  bool stopped() const { return *stopped_; }
  LogCapture& log() { return log_; }

 private:
  LogCapture log_;
  HttpServer server_;
  std::shared_ptr<boost::asio::cancellation_signal> stop_;  ///< outlives what it cancels
  std::shared_ptr<bool> stopped_ = std::make_shared<bool>(false);
};

/// A peer that follows a script of bytes instead of a protocol: `script` runs for every connection.
class RawServer {
 public:
  using Script = std::function<boost::asio::awaitable<void>(boost::asio::ip::tcp::socket&)>;
  RawServer(boost::asio::io_context& io, Script script);
  ~RawServer();
  std::string url(std::string_view path) const;
  int accepted() const { return *accepted_; }

 private:
  std::shared_ptr<boost::asio::ip::tcp::acceptor> acceptor_;
  std::shared_ptr<int> accepted_ = std::make_shared<int>(0);
};

/// Reads up to and including the empty line that ends a head.
boost::asio::awaitable<std::string> read_head(boost::asio::ip::tcp::socket& socket);
boost::asio::awaitable<void> write_text(boost::asio::ip::tcp::socket& socket, std::string text);
/// Everything until the peer closes.
boost::asio::awaitable<std::string> read_rest(boost::asio::ip::tcp::socket& socket);
boost::asio::awaitable<boost::asio::ip::tcp::socket> connect_to(std::uint16_t port);
/// Sends `text` and returns what came until the peer closed.
boost::asio::awaitable<std::string> exchange(std::uint16_t port, std::string text);
boost::asio::awaitable<void> pause_for(std::chrono::milliseconds span);
/// Lets the loop turn until `condition` holds; gives up (false) after five seconds.
boost::asio::awaitable<bool> until(std::function<bool()> condition);

std::chrono::milliseconds since(std::chrono::steady_clock::time_point start);

}  // namespace rowcrew::testing
