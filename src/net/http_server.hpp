// A small HTTP/1.1 server on Beast: limits on everything, one deadline per request.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <rowcrew/http_client.hpp>
#include "base/service.hpp"

namespace rowcrew {

struct ServerRequest {
  ServerRequest() = default;
  std::string method;
  std::string path;   ///< percent-decoded, without query; never holds NUL
  std::string query;  ///< raw, without '?'
  HttpHeaders headers;
  std::string body;
  std::string peer;  ///< address of the client
  /// First header of that name, case-insensitive; empty when absent.
  std::string_view header(std::string_view name) const;
};

struct ServerResponse {
  ServerResponse() = default;
  ServerResponse(int code, std::string type, std::string text)
      : status(code), content_type(std::move(type)), body(std::move(text)) {}
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers;
  std::string body;
};

struct HttpServerOptions {
  std::string listen = "127.0.0.1:0";  ///< "host:port", "[::1]:port" or "unix:/path"
  int inherited_fd = -1;               ///< >= 0: a listening socket from the service manager
  std::size_t max_body_bytes = std::size_t{1} << 20;
  std::size_t max_header_bytes = std::size_t{16} << 10;
  std::chrono::milliseconds request_deadline{10'000};  ///< head + body + answer
  std::chrono::milliseconds idle{30'000};              ///< keep-alive
  unsigned max_connections = 512;
  /// With all of them taken, the one that has kept us waiting longest makes room, if that is so long or more: idle ones first, then
  /// half-sent requests and answers that nobody reads.
  std::chrono::milliseconds patience{500};
  /// Connections are taken, and requests read, no faster than one in this time, whoever sends them: for a listener on a thread that
  /// has more important things to do. 0: no bound.
  std::chrono::milliseconds pace{0};
  /// Told of each answer that the server gives by itself: status and code.
  std::function<void(int status, std::string_view code)> refused;
};

/// Answers itself, without calling the handler: 400 malformed, no Host, 408 too slow, 413 body too
/// large (also chunked), 431 header too large, 415 Content-Encoding other than identity, 503 while
/// stopping or over max_connections (where none of those makes room), 500 when the handler throws (logged, nothing revealed). Error
/// bodies are JSON: {"error":"<code>","message":"<sentence>"}.
class HttpServer final : public Service {
 public:
  using Handler = std::function<boost::asio::awaitable<ServerResponse>(ServerRequest)>;

  /// Binds at once. Throws ConfigError naming the address when it cannot.
  HttpServer(boost::asio::any_io_executor executor, HttpServerOptions options, Handler handler,
             Log& log);
  ~HttpServer() override;

  std::string_view name() const override { return "http_server"; }
  /// On cancel: stops accepting, lets running requests end (at most request_deadline), returns.
  boost::asio::awaitable<void> run() override;
  std::uint16_t port() const;  ///< 0 for a unix socket

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
