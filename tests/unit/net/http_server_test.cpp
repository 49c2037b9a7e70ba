#include "net/http_server.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <rowcrew/error.hpp>
#include <stdexcept>
#include <vector>

#include "loopback.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using std::chrono::steady_clock;

namespace {

/// Says what it got, one part per line.
awaitable<ServerResponse> echo(ServerRequest request) {
  std::string text = request.method + "|" + request.path + "|" + request.query + "|" +
                     std::string(request.header("X-TEST")) + "|" + request.peer + "|" +
                     request.body;
  co_return ServerResponse(200, "text/plain", std::move(text));
}

HttpServerOptions small() {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_header_bytes = 1000;
  options.request_deadline = 2s;
  options.idle = 2s;
  return options;
}

HttpServerOptions hasty() {
  auto options = small();
  options.request_deadline = 60ms;
  options.idle = 30ms;
  return options;
}

std::string ask(asio::io_context& io, std::uint16_t port, std::string text) {
  auto work = exchange(port, std::move(text));
  return run(io, std::move(work));
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

std::string body_of(const std::string& answer) {
  const auto at = answer.find("\r\n\r\n");
  return at == std::string::npos ? "" : answer.substr(at + 4);
}

bool has_line(const std::string& answer, const std::string& line) {
  return answer.find("\r\n" + line + "\r\n") != std::string::npos;
}

const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

std::string temporary_path(std::string_view name) {
  return "/tmp/rowcrew-net-" + std::to_string(::getpid()) + "-" + std::string(name);
}

struct Unlink {
  std::string path;
  ~Unlink() { ::unlink(path.c_str()); }
};

awaitable<std::string> exchange_unix(std::string path, std::string text) {
  asio::local::stream_protocol::socket socket(co_await asio::this_coro::executor);
  const asio::local::stream_protocol::endpoint endpoint(path);
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  const auto out = asio::buffer(text);
  co_await socket.async_send(out, asio::use_awaitable);
  std::string all;
  std::array<char, 4096> chunk{};
  for (bool open = true; open;) {
    const auto space = asio::buffer(chunk);
    const auto [ec, bytes] =
        co_await socket.async_read_some(space, asio::as_tuple(asio::use_awaitable));
    all.append(chunk.data(), bytes);
    open = !ec;
  }
  co_return all;
}

}  // namespace

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
        std::string("GET /\r\n\r\n"), std::string("GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
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
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
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
  CHECK(since(start) >= 60ms);
  CHECK(since(start) < 1s);
}

TEST_CASE("http server: a connection that says nothing is closed without a word") {
  asio::io_context io;
  RunningServer server(io, echo, hasty());
  const auto start = steady_clock::now();
  CHECK(ask(io, server.port(), "") == "");
  CHECK(since(start) < 1s);
  // The same between two requests, after the idle time.
  const auto answer = ask(io, server.port(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(answer.find("408") == std::string::npos);
}

TEST_CASE("http server: each request on a connection has its own deadline") {
  asio::io_context io;
  auto options = hasty();
  options.idle = 5s;
  RunningServer server(io, echo, options);
  const auto paced = [&]() -> awaitable<std::string> {
    auto socket = co_await connect_to(server.port());
    std::string all;
    for (int i = 0; i < 3; ++i) {
      co_await write_text(socket, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      all += (co_await read_head(socket)).substr(0, 12) + ";";
      std::array<char, 64> body{};
      const auto space = asio::buffer(body);
      if (i < 2) co_await pause_for(40ms);
      static_cast<void>(co_await socket.async_read_some(space, asio::as_tuple(asio::use_awaitable)));
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
  CHECK(status_of(ask(io, server.port(),
                      post + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + most +
                          "\r\n0\r\n\r\n")) == 200);
  CHECK(status_of(ask(io, server.port(), post + "Content-Length: 1001\r\n\r\n" + more)) == 413);
  CHECK(status_of(ask(io, server.port(),
                      post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + more +
                          "\r\n0\r\n\r\n")) == 413);
  CHECK(status_of(ask(io, server.port(), post + "Content-Length: 99999999999\r\n\r\n")) == 413);
  // A sender who does not listen before it has sent everything still gets the answer.
  const std::string huge(std::size_t{2} << 20, 'x');
  const auto answer =
      ask(io, server.port(), post + "Content-Length: 2097152\r\n\r\n" + huge);
  CHECK(status_of(answer) == 413);
  CHECK(body_of(answer) ==
        "{\"error\":\"body_too_large\",\"message\":\"the body is too long\"}\n");
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
    co_await write_text(socket, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
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

TEST_CASE("http server: a connection serves requests in turn, pipelined ones too") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto answer =
      ask(io, server.port(),
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
  const auto answer = ask(io, server.port(),
                          "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(status_of(answer) == 200);
  CHECK(has_line(answer, "Content-Length: 21"));
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
  const auto full = ask(io, server.port(),
                        "GET /429 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(status_of(full) == 429);
  CHECK(has_line(full, "Retry-After: 7"));
  CHECK(has_line(full, "X-A: 1"));
  CHECK(has_line(full, "X-A: 2"));
  CHECK(body_of(full) == "text");
  const auto empty = ask(io, server.port(),
                         "GET /204 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
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
    const auto answer = ask(io, server.port(),
                            "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
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
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"X", "1\r\nY: 2"}, {"X\r\nY", "1"}, {"", "1"}, {"Content-Length", "0"},
      {"transfer-encoding", "chunked"}, {"Connection", "close"}};
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

TEST_CASE("http server: connections over the limit get 503, and room comes back") {
  asio::io_context io;
  auto options = small();
  options.max_connections = 2;
  RunningServer server(io, echo, options);
  const auto crowd = [&]() -> awaitable<void> {
    auto one = co_await connect_to(server.port());
    auto two = co_await connect_to(server.port());
    const auto over = co_await exchange(server.port(), kGet);
    CHECK(status_of(over) == 503);
    CHECK(body_of(over).starts_with("{\"error\":\"busy\""));
    one.close();
    int status = 0;
    for (int i = 0; i < 1000 && status != 200; ++i) {
      status = status_of(co_await exchange(server.port(), kGet));
    }
    CHECK(status == 200);
  };
  run(io, crowd());
}

TEST_CASE("http server: a stop lets running requests end and takes no new ones") {
  asio::io_context io;
  bool entered = false;
  bool released = false;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        entered = true;
        co_await until([&] { return released; });
        co_return ServerResponse(200, "text/plain", "done");
      },
      small());
  const auto scene = [&]() -> awaitable<void> {
    auto idle = co_await connect_to(server.port());
    auto half = co_await connect_to(server.port());
    co_await write_text(half, "GET / HTTP/1.1\r\n");
    auto busy = co_await connect_to(server.port());
    co_await write_text(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const bool inside = co_await until([&] { return entered; });
    CHECK(inside);
    server.stop();
    CHECK(co_await read_rest(idle) == "");
    CHECK_FALSE(server.stopped());

    co_await write_text(half, "Host: h\r\n\r\n");
    const auto late = co_await read_rest(half);
    CHECK(status_of(late) == 503);
    CHECK(body_of(late).starts_with("{\"error\":\"stopping\""));

    tcp::socket refused(io);
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), server.port());
    const auto [ec] =
        co_await refused.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
    CHECK(ec == asio::error::connection_refused);
    CHECK_FALSE(server.stopped());

    released = true;
    const auto answer = co_await read_rest(busy);
    CHECK(body_of(answer) == "done");
    CHECK(has_line(answer, "Connection: close"));
    busy.close();
    half.close();
    const bool stopped = co_await until([&] { return server.stopped(); });
    CHECK(stopped);
  };
  run(io, scene());
}

TEST_CASE("http server: a stop cuts off what does not end within the deadline") {
  asio::io_context io;
  bool entered = false;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        entered = true;
        co_await pause_for(10s);
        co_return ServerResponse();
      },
      hasty());
  const auto scene = [&]() -> awaitable<void> {
    auto busy = co_await connect_to(server.port());
    co_await write_text(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    co_await until([&] { return entered; });
    const auto start = steady_clock::now();
    server.stop();
    const bool stopped = co_await until([&] { return server.stopped(); });
    CHECK(stopped);
    CHECK(since(start) < 2s);
  };
  run(io, scene());
}

TEST_CASE("http server: a stop without connections ends at once") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  const auto scene = [&]() -> awaitable<void> {
    co_await exchange(server.port(), kGet);
    server.stop();
    const bool stopped = co_await until([&] { return server.stopped(); });
    CHECK(stopped);
  };
  const auto start = steady_clock::now();
  run(io, scene());
  CHECK(since(start) < 500ms);
}

TEST_CASE("http server: it can be destroyed while requests run") {
  asio::io_context io;
  bool entered = false;
  std::optional<RunningServer> server;
  server.emplace(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        entered = true;
        co_await pause_for(10s);
        co_return ServerResponse();
      },
      small());
  const auto scene = [&]() -> awaitable<void> {
    auto busy = co_await connect_to(server->port());
    co_await write_text(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    co_await until([&] { return entered; });
  };
  run(io, scene());
  server.reset();
  io.restart();
  const auto start = steady_clock::now();
  io.run_for(5s);
  CHECK(since(start) < 1s);
}

TEST_CASE("http server: out of descriptors, it waits and goes on when there are some again") {
  asio::io_context io;
  RunningServer server(io, echo, small());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const auto scene = [&]() -> awaitable<void> {
    tcp::socket socket(io, tcp::v4());  // ours, opened while there are descriptors left
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(::dup(0));
    ::close(static_cast<int>(none.rlim_cur));
    ::setrlimit(RLIMIT_NOFILE, &none);
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), server.port());
    co_await socket.async_connect(endpoint, asio::use_awaitable);
    co_await write_text(socket, kGet);
    const bool warned =
        co_await until([&] { return !server.log().lines("http.accept_failed").empty(); });
    CHECK(warned);
    ::setrlimit(RLIMIT_NOFILE, &before);
    const auto answer = co_await read_rest(socket);
    CHECK(status_of(answer) == 200);
    CHECK(server.log().lines("http.accept_failed").size() == 1);
  };
  run(io, scene());
}

TEST_CASE("http server: a unix socket is served, replaced when stale, and removed at the end") {
  asio::io_context io;
  const Unlink path{temporary_path("server.sock")};
  {  // what a killed process leaves behind
    asio::local::stream_protocol::acceptor dead(
        io, asio::local::stream_protocol::endpoint(path.path));
  }
  auto options = small();
  options.listen = "unix:" + path.path;
  {
    RunningServer server(io, echo, options);
    CHECK(server.port() == 0);
    auto work = exchange_unix(path.path, kGet);
    CHECK(body_of(run(io, std::move(work))) == "GET|/|||unix|");
    LogCapture log;
    CHECK_THROWS_AS(HttpServer(io.get_executor(), options, echo, log), ConfigError);
    auto again = exchange_unix(path.path, kGet);  // the attempt did no harm
    CHECK(status_of(run(io, std::move(again))) == 200);
  }
  struct stat found {};
  CHECK(::stat(path.path.c_str(), &found) != 0);
}

TEST_CASE("http server: a file that is no socket is not replaced") {
  asio::io_context io;
  const Unlink path{temporary_path("precious")};
  ::close(::open(path.path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  auto options = small();
  options.listen = "unix:" + path.path;
  LogCapture log;
  CHECK_THROWS_AS(HttpServer(io.get_executor(), options, echo, log), ConfigError);
  struct stat found {};
  CHECK(::stat(path.path.c_str(), &found) == 0);
}

TEST_CASE("http server: a listening socket can be inherited") {
  asio::io_context io;
  tcp::acceptor owner(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  owner.listen();
  auto options = small();
  options.listen = "not looked at";
  options.inherited_fd = ::dup(owner.native_handle());
  const auto port = owner.local_endpoint().port();
  {
    RunningServer server(io, echo, options);
    CHECK(server.port() == port);
    CHECK(status_of(ask(io, port, kGet)) == 200);
  }
  // Clients that come between two processes wait in the manager's socket.
  options.inherited_fd = ::dup(owner.native_handle());
  RunningServer next(io, echo, options);
  CHECK(status_of(ask(io, port, kGet)) == 200);

  LogCapture log;
  options.inherited_fd = 0;
  CHECK_THROWS_AS(HttpServer(io.get_executor(), options, echo, log), ConfigError);
}

TEST_CASE("http server: it listens on IPv6 too") {
  asio::io_context io;
  auto options = small();
  options.listen = "[::1]:0";
  RunningServer server(io, echo, options);
  const auto scene = [&]() -> awaitable<std::string> {
    tcp::socket socket(io);
    const tcp::endpoint endpoint(asio::ip::address_v6::loopback(), server.port());
    co_await socket.async_connect(endpoint, asio::use_awaitable);
    co_await write_text(socket, kGet);
    co_return co_await read_rest(socket);
  };
  CHECK(body_of(run(io, scene())) == "GET|/|||::1|");
}

TEST_CASE("http server: an address that cannot be listened on is named") {
  asio::io_context io;
  LogCapture log;
  auto options = small();
  for (const std::string listen :
       {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:80",
        "[127.0.0.1]:80", "example.com:80", "[::1]", "unix:", "unix:relative",
        "unix:/no/such/directory/s"}) {
    CAPTURE(listen);
    options.listen = listen;
    CHECK_THROWS_AS(HttpServer(io.get_executor(), options, echo, log), ConfigError);
  }
  options.listen = "unix:/" + std::string(200, 'x');
  CHECK_THROWS_AS(HttpServer(io.get_executor(), options, echo, log), ConfigError);

  options.listen = "127.0.0.1:0";
  const HttpServer first(io.get_executor(), options, echo, log);
  options.listen = "127.0.0.1:" + std::to_string(first.port());
  CHECK_THROWS_WITH_AS(HttpServer(io.get_executor(), options, echo, log),
                       ("http_server.listen: \"" + options.listen +
                        "\" cannot be listened on (Address already in use)")
                           .c_str(),
                       ConfigError);
}
