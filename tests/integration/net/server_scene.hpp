// What the tests of the HTTP server share.
#pragma once

#include <boost/asio/io_context.hpp>
#include <string>

#include "loopback.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

/// Says what it got: method|path|query|X-Test|peer|body.
inline boost::asio::awaitable<ServerResponse> echo(ServerRequest request) {
  std::string text = request.method + "|" + request.path + "|" + request.query + "|" +
                     std::string(request.header("X-TEST")) + "|" + request.peer + "|" +
                     request.body;
  co_return ServerResponse(200, "text/plain", std::move(text));
}

/// Limits of 1000 bytes, patience of two seconds.
inline HttpServerOptions small() {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_header_bytes = 1000;
  options.request_deadline = std::chrono::seconds(2);
  options.idle = std::chrono::seconds(2);
  return options;
}

/// For tests that wait for a deadline.
inline HttpServerOptions hasty() {
  auto options = small();
  options.request_deadline = std::chrono::milliseconds(60);
  options.idle = std::chrono::milliseconds(30);
  return options;
}

inline const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

inline std::string ask(boost::asio::io_context& io, std::uint16_t port, std::string text) {
  auto work = exchange(port, std::move(text));
  return run(io, std::move(work));
}

/// 0 when there is no status line.
inline int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

inline std::string body_of(const std::string& answer) {
  const auto at = answer.find("\r\n\r\n");
  return at == std::string::npos ? "" : answer.substr(at + 4);
}

inline bool has_line(const std::string& answer, const std::string& line) {
  return answer.find("\r\n" + line + "\r\n") != std::string::npos;
}

}  // namespace rowcrew::testing
