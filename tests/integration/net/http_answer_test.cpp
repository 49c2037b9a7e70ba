// What the server answers, and what a handler may do.
#include <doctest/doctest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <stdexcept>
#include <vector>

#include "server_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::steady_clock;

TEST_CASE("http server: a connection serves requests in turn, pipelined ones too") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer = ask(io, server.port(),
                          "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
                          "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
                          "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const auto one = answer.find("POST|/1|||127.0.0.1|one");
  const auto two = answer.find("GET|/2|");
  const auto three = answer.find("GET|/3|");
  REQUIRE(three != std::string::npos);
  CHECK(one < two);
  CHECK(two < three);
}

TEST_CASE("http server: an answer to HEAD is the head alone") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer =
      ask(io, server.port(), "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(has_line(answer, "Content-Length: 20"));
  CHECK(body_of(answer) == "");
}

TEST_CASE("http server: headers and status of the handler are sent, 204 without a body") {
  asio::io_context io;
  RunningServer server(
      io,
      [](ServerRequest request) -> awaitable<ServerResponse> {
        ServerResponse response(std::stoi(request.path.substr(1)), "a/b", "text");
        response.headers = {{"Retry-After", "7"}, {"X-A", "1"}, {"X-A", "2"}};
        co_return response;
      },
      small());
  const auto full =
      ask(io, server.port(), "GET /429 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(status_of(full) == 429);
  CHECK(has_line(full, "Retry-After: 7"));
  CHECK(has_line(full, "X-A: 1"));
  CHECK(has_line(full, "X-A: 2"));
  CHECK(body_of(full) == "text");
  const auto empty =
      ask(io, server.port(), "GET /204 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(status_of(empty) == 204);
  CHECK(body_of(empty) == "");
}

TEST_CASE("http server: a handler that throws costs its request a 500 and reveals nothing") {
  asio::io_context io;
  RunningServer server(
      io,
      [](ServerRequest request) -> awaitable<ServerResponse> {
        if (request.path == "/int") throw 7;
        throw std::runtime_error("s3cret");
        co_return ServerResponse();
      },
      small());
  for (const std::string path : {"/a", "/int"}) {
    const auto answer =
        ask(io, server.port(), "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(status_of(answer) == 500);
    CHECK(body_of(answer) ==
          "{\"error\":\"internal\",\"message\":\"the request could not be served\"}\n");
  }
  const auto lines = server.log().lines("http.handler_failed");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].message == "s3cret");
  CHECK(lines[0].field("request") == "GET /a");
  CHECK(lines[0].level == LogLevel::error);
}

TEST_CASE("http server: a handler cannot break the framing of its answer") {
  asio::io_context io;
  const std::vector<std::pair<std::string, std::string>> bad = {{"X", "1\r\nY: 2"},
                                                                {"X\r\nY", "1"},
                                                                {"", "1"},
                                                                {"Content-Length", "0"},
                                                                {"transfer-encoding", "chunked"},
                                                                {"Connection", "close"}};
  std::size_t next = 0;
  RunningServer server(
      io,
      [&](ServerRequest request) -> awaitable<ServerResponse> {
        ServerResponse response;
        if (request.path == "/status") response.status = next++ == 0 ? 99 : 1000;
        if (request.path == "/type") response.content_type = "a\r\nb: c";
        if (request.path == "/header") response.headers = {bad[next++]};
        co_return response;
      },
      small());
  const auto get = [&](const std::string& path) {
    return status_of(ask(io, server.port(),
                         "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  };
  for (std::size_t i = 0; i < bad.size(); ++i) CHECK(get("/header") == 500);
  CHECK(get("/type") == 500);
  next = 0;
  CHECK(get("/status") == 500);
  CHECK(get("/status") == 500);
}

TEST_CASE("http server: a handler that overruns the deadline is cancelled and answered with 503") {
  asio::io_context io;
  bool cancelled = false;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        asio::steady_timer timer(io, 10s);
        const auto [ec] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        cancelled = ec == asio::error::operation_aborted;
        throw boost::system::system_error(ec);
        co_return ServerResponse();
      },
      hasty());
  const auto start = steady_clock::now();
  const auto answer = ask(io, server.port(), kGet);
  CHECK(since(start) < 1s);
  CHECK(status_of(answer) == 503);
  CHECK(body_of(answer).starts_with("{\"error\":\"timeout\""));
  CHECK(cancelled);
}
