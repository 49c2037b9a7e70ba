// What the server reads: limits, deadlines, malformed input.
#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <thread>
#include <vector>

#include "server_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using std::chrono::steady_clock;

TEST_CASE("http server: a request reaches the handler in parts") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer = ask(io, server.port(),
                          "POST /a%20b%2Fc?x=%20&y HTTP/1.1\r\nHost: h\r\nx-Test: 1\r\n"
                          "Content-Length: 4\r\nConnection: close\r\n\r\nbody");
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "POST|/a b/c|x=%20&y|1|127.0.0.1|body");
  CHECK(has_line(answer, "Content-Type: text/plain"));
  CHECK(has_line(answer, "Connection: close"));
}

TEST_CASE("http server: chunked bodies arrive whole, and trailers do not become headers") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer = ask(io, server.port(),
                          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n"
                          "Connection: close\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\n"
                          "X-Test: late\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "POST|/|||127.0.0.1|abcde");
}

TEST_CASE("http server: malformed requests get 400 and never reach the handler") {
  asio::io_context io;
  int handled = 0;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        ++handled;
        co_return ServerResponse();
      },
      small());
  const std::string chunk = "\r\n\r\n1\r\na\r\n0\r\n\r\n";
  for (const std::string& text :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8) + "\r\n\r\n",
        std::string("GET /\r\n\r\n"),
        std::string("GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
        std::string("GET / HTTP/1.1\nHost: h\n\n"),
        std::string("G(T / HTTP/1.1\r\nHost: h\r\n\r\n"),
        std::string("GET %2F HTTP/1.1\r\nHost: h\r\n\r\n"),
        std::string("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"),
        std::string("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"),
        std::string("CONNECT a:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
        std::string(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
        std::string(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1x\r\n\r\na"),
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na"),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked" + chunk,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1" + chunk,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked" + chunk,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nContent-Length: 1" + chunk,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked" + chunk,
        std::string("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
    CAPTURE(text);
    const auto answer = ask(io, server.port(), text);
    CHECK(status_of(answer) == 400);
    CHECK(body_of(answer).starts_with("{\"error\":\"bad_request\",\"message\":\""));
    CHECK(has_line(answer, "Connection: close"));
    CHECK(has_line(answer, "Content-Type: application/json"));
  }
  CHECK(handled == 0);
}

TEST_CASE("http server: a request that breaks off gets 400 if its sender still listens") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto half_closed = [&]() -> awaitable<std::string> {
    auto socket = co_await connect_to(server.port());
    co_await write_text(socket, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart");
    socket.shutdown(tcp::socket::shutdown_send);
    co_return co_await read_rest(socket);
  };
  CHECK(status_of(run(io, half_closed())) == 400);
}

TEST_CASE("http server: HTTP/1.0 needs no Host and closes by itself") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer = ask(io, server.port(), "GET /a HTTP/1.0\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "GET|/a|||127.0.0.1|");
}

TEST_CASE("http server: a head that trickles in gets 408 at the one deadline") {
  asio::io_context io;
  auto options = hasty();
  options.idle = 5s;
  RunningServer server(io, echo, options);
  const auto trickle = [&](std::string start) -> awaitable<std::string> {
    auto socket = co_await connect_to(server.port());
    co_await write_text(socket, start);
    for (int i = 0; i < 12; ++i) {  // no byte buys time
      co_await pause_for(5ms);
      co_await write_text(socket, "x");
    }
    co_return co_await read_rest(socket);
  };
  const auto start = steady_clock::now();
  SUBCASE("in the head") {
    const auto answer = run(io, trickle("GET / HTTP/1.1\r\nHost: h\r\nX: "));
    CHECK(status_of(answer) == 408);
    CHECK(body_of(answer).starts_with("{\"error\":\"timeout\""));
  }
  SUBCASE("in the body") {
    const auto answer =
        run(io, trickle("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n"));
    CHECK(status_of(answer) == 408);
  }
  SUBCASE("in the head of a later request") {
    const auto answer = run(io, trickle("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nX: "));
    CHECK(status_of(answer) == 200);
    CHECK(answer.find("HTTP/1.1 408") != std::string::npos);
  }
  CHECK(since(start) >= 60ms);
  CHECK(since(start) < 3s);
}

TEST_CASE("http server: senders that fall silent as their deadline passes get 408 and do not stay for ever") {
  asio::io_context io;
  auto options = hasty();
  options.request_deadline = 250ms;
  options.max_body_bytes = 1'000'000;
  RunningServer server(io, echo, options);
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n";
  const std::string part(100'000, 'x');  // more than the server reads at once
  std::vector<tcp::socket> senders;
  std::size_t told = 0;
  const auto hear = [&](tcp::socket& sender) -> awaitable<void> {
    const auto answer = co_await read_rest(sender);
    told += status_of(answer) == 408 ? 1 : 0;
  };
  const auto scene = [&]() -> awaitable<void> {
    for (int i = 0; i < 4; ++i) {
      senders.push_back(co_await connect_to(server.port()));
      co_await write_text(senders.back(), head);
      const auto go_on = co_await read_head(senders.back());
      CHECK(status_of(go_on) == 100);
    }
    // The loop stands still until the deadlines have passed, and meets them together with the bytes.
    const auto start = steady_clock::now();
    for (auto& sender : senders) sender.write_some(asio::buffer(part));
    std::this_thread::sleep_until(start + options.request_deadline);
    for (auto& sender : senders) asio::co_spawn(io, hear(sender), [](std::exception_ptr) {});
    const bool all = co_await until([&] { return told == senders.size(); });
    CHECK(all);
  };
  run(io, scene());
}

TEST_CASE("http server: a connection that says nothing is closed without a word") {
  asio::io_context io;
  RunningServer server(io, echo, hasty());
  const auto start = steady_clock::now();
  CHECK(ask(io, server.port(), "") == "");
  CHECK(since(start) < 1s);
}

TEST_CASE("http server: a connection that idles after a request is closed without a word") {
  asio::io_context io;
  auto options = small();
  options.idle = 30ms;
  RunningServer server(io, echo, options);
  const auto start = steady_clock::now();
  const auto answer = ask(io, server.port(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(since(start) >= 30ms);
  CHECK(since(start) < 1s);
  CHECK(status_of(answer) == 200);
  CHECK(answer.find("408") == std::string::npos);
}

TEST_CASE("http server: each request on a connection has its own deadline") {
  asio::io_context io;
  auto options = small();
  options.request_deadline = 200ms;
  RunningServer server(io, echo, options);
  const auto paced = [&]() -> awaitable<std::string> {
    auto socket = co_await connect_to(server.port());
    std::string all;
    for (int i = 0; i < 3; ++i) {
      co_await write_text(socket, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      all += (co_await read_head(socket)).substr(0, 12) + ";";
      if (i < 2) co_await pause_for(120ms);
    }
    co_return all;
  };
  CHECK(run(io, paced()) == "HTTP/1.1 200;HTTP/1.1 200;HTTP/1.1 200;");
}

TEST_CASE("http server: a body over the limit gets 413, announced or chunked") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
  const std::string most(1000, 'x');
  const std::string more(1001, 'x');
  CHECK(status_of(ask(io, server.port(), post + "Content-Length: 1000\r\n\r\n" + most)) == 200);
  CHECK(status_of(ask(
            io, server.port(),
            post + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + most + "\r\n0\r\n\r\n")) == 200);
  CHECK(status_of(ask(io, server.port(), post + "Content-Length: 1001\r\n\r\n" + more)) == 413);
  CHECK(status_of(ask(
            io, server.port(),
            post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + more + "\r\n0\r\n\r\n")) == 413);
  CHECK(status_of(ask(io, server.port(), post + "Content-Length: 99999999999\r\n\r\n")) == 413);
  // A sender who does not listen before it has sent everything still gets the answer.
  const std::string huge(std::size_t{2} << 20, 'x');
  const auto answer = ask(io, server.port(), post + "Content-Length: 2097152\r\n\r\n" + huge);
  CHECK(status_of(answer) == 413);
  CHECK(body_of(answer) == "{\"error\":\"body_too_large\",\"message\":\"the body is too long\"}\n");
}

TEST_CASE("http server: a head over the limit gets 431") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto padded = [](std::size_t size) {
    return "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: " + std::string(size, 'x') +
           "\r\n\r\n";
  };
  CHECK(status_of(ask(io, server.port(), padded(900))) == 200);
  CHECK(status_of(ask(io, server.port(), padded(1000))) == 431);
  CHECK(status_of(ask(io, server.port(), padded(100'000))) == 431);
  const std::string target(5000, 'x');
  CHECK(status_of(ask(io, server.port(), "GET /" + target + " HTTP/1.1\r\n\r\n")) == 431);
}

TEST_CASE("http server: encoded bodies get 415") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto encoded = [&](const std::string& lines) {
    return status_of(ask(io, server.port(),
                         "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + lines +
                             "Content-Length: 1\r\n\r\na"));
  };
  CHECK(encoded("Content-Encoding: gzip\r\n") == 415);
  CHECK(encoded("Content-Encoding: identity, gzip\r\n") == 415);
  CHECK(encoded("Content-Encoding: identity\r\nContent-Encoding: br\r\n") == 415);
  CHECK(encoded("Content-Encoding: Identity\r\n") == 200);
}

TEST_CASE("http server: a client that asks whether to go on is told to, unless it is refused") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto careful = [&](std::string length) -> awaitable<std::string> {
    auto socket = co_await connect_to(server.port());
    co_await write_text(socket,
                        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                        "Expect: 100-Continue\r\nContent-Length: " +
                            length + "\r\n\r\n");
    const auto first = co_await read_head(socket);
    if (status_of(first) != 100) co_return first;
    co_await write_text(socket, "body");
    co_return first + co_await read_rest(socket);
  };
  const auto go = run(io, careful("4"));
  CHECK(go.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  CHECK(go.ends_with("|body"));
  CHECK(status_of(run(io, careful("4000"))) == 413);
  // Nothing to wait for: no interim answer.
  CHECK(status_of(run(io, careful("0"))) == 200);
}
