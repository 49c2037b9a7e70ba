// What the tests of the HTTP client share.
#pragma once

#include <boost/asio/io_context.hpp>
#include <rowcrew/error.hpp>
#include <string>
#include <string_view>

#include "loopback.hpp"
#include "net/curl_http_client.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

/// A client that may talk to this machine.
struct ClientScene {
  boost::asio::io_context io;
  CurlHttpClient client{io.get_executor(), EgressGuard({"127.0.0.0/8", "::1"})};
};

/// What became of one request: a response, or the Error's parts.
struct Sent {
  std::string code;  ///< empty: no error
  std::string message;
  ErrorClass error_class = ErrorClass::bug;
  HttpResponse response;
};

inline Sent send(boost::asio::io_context& io, CurlHttpClient& client, HttpRequest request) {
  Sent sent;
  try {
    sent.response = run(io, client.send(std::move(request)));
  } catch (const Error& e) {
    sent.code = e.code();
    sent.message = e.what();
    sent.error_class = e.error_class();
  }
  return sent;
}

inline std::string value_of(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

inline boost::asio::awaitable<ServerResponse> answer_ok(ServerRequest) {
  co_return ServerResponse(200, "text/plain", "ok");
}

/// Reads one request's head, answers with the text, closes.
inline RawServer::Script say(std::string text) {
  return [text](boost::asio::ip::tcp::socket& socket) -> boost::asio::awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, text);
  };
}

}  // namespace rowcrew::testing
