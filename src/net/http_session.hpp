// One connection of the HTTP server: requests in turn, each under one deadline.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <rowcrew/log.hpp>
#include "net/http_head.hpp"
#include "net/http_listen.hpp"
#include "net/http_server.hpp"

namespace rowcrew {

/// What all connections of one server share.
struct HttpServerCore {
  HttpServerCore(HttpServerOptions with, HttpServer::Handler answering, Log& to)
      : options(std::move(with)), handler(std::move(answering)), log(&to) {}

  /// Says nothing once the server is gone: its log may be gone too.
  void report(LogLevel level, std::string_view event, const std::vector<LogField>& fields,
              std::string_view message) const {
    if (log != nullptr && log->enabled(level)) log->write(level, event, fields, message);
  }

  /// When whoever asks may take the next step: all take turns, new connections too, so that there are never more of them than
  /// can be answered. At once without a pace.
  std::chrono::steady_clock::time_point next_turn() {
    const auto turn = std::max(std::chrono::steady_clock::now(), free_from_);
    if (options.pace > options.pace.zero()) free_from_ = turn + options.pace;
    return turn;
  }

  const HttpServerOptions options;
  const HttpServer::Handler handler;
  Log* log;
  bool stopping = false;

 private:
  std::chrono::steady_clock::time_point free_from_;
};

/// Reads and writes piece by piece, with a look at the deadline before each: Beast's reads of a whole
/// head or body go on by themselves, and a deadline that meets them while a piece is had and the next
/// not yet asked for finds nothing to cancel.
///
/// Event thread only; held by shared_ptr until run() has ended.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(std::shared_ptr<HttpServerCore> core, StreamSocket socket);

  /// Serves the connection to its end. Throws nothing that the peer can cause.
  boost::asio::awaitable<void> run();
  /// Says 503 and closes: the server has all the connections that it may have.
  boost::asio::awaitable<void> turn_away();
  /// Closes the connection if no request is being read or answered.
  void stop_if_idle();
  /// Since when the next step has been the peer's: to ask, to go on sending, to read its answer. Nullopt: it is ours.
  std::optional<std::chrono::steady_clock::time_point> waits_since() const { return waits_since_; }
  bool idle() const { return idle_; }
  /// Closes the connection without a word: others need its place.
  void give_up();
  /// Closes the connection and cancels its handler.
  void abort();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using ErrorCode = boost::beast::error_code;

  // Those that give a bool say whether the connection goes on.
  boost::asio::awaitable<bool> await_request();
  boost::asio::awaitable<bool> serve_request();
  boost::asio::awaitable<ErrorCode> read_body(Parser& parser);
  /// Parses what has come, or waits for more.
  boost::asio::awaitable<ErrorCode> read_piece(Parser& parser);
  boost::asio::awaitable<bool> refuse_unread(ErrorCode ec);
  boost::asio::awaitable<bool> refuse(Refusal refusal);
  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);
  ServerResponse own_answer(const Refusal& refusal) const;
  ServerResponse judge_failure(const std::exception_ptr& error, std::string_view subject);
  boost::asio::awaitable<bool> write(ServerResponse response, unsigned version, bool head_only,
                                     bool keep_alive);
  boost::asio::awaitable<void> close();

  /// Waits until the pace allows one more read.
  boost::asio::awaitable<void> take_turn();
  /// From now on the next step is the peer's.
  void wait_for_peer();
  /// Replaces the deadline of whatever is pending.
  void arm(std::chrono::steady_clock::time_point deadline);
  void on_deadline();

  const std::shared_ptr<HttpServerCore> core_;
  StreamSocket socket_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer turn_;
  boost::asio::cancellation_signal cancel_handler_;
  bool idle_ = false;     ///< no byte of the next request has come
  std::optional<std::chrono::steady_clock::time_point> waits_since_;
  bool given_up_ = false;
  bool expired_ = false;  ///< the deadline passed; what was pending got operation_aborted
};

}  // namespace rowcrew
