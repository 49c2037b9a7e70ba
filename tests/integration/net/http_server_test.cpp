// The server's life: room, stop, exhaustion.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "server_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using std::chrono::steady_clock;

TEST_CASE("http server: connections over the limit get 503, and room comes back") {
  asio::io_context io;
  auto options = small();
  options.max_connections = 2;
  options.patience = 60s;
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

TEST_CASE("http server: who takes all connections and says nothing keeps nobody out") {
  asio::io_context io;
  auto options = small();
  options.max_connections = 4;
  options.patience = 0ms;
  options.request_deadline = 60s;
  options.idle = 60s;
  RunningServer server(io, echo, options);
  const auto siege = [&]() -> awaitable<void> {
    auto silent = co_await connect_to(server.port());
    auto kept = co_await connect_to(server.port());  // a browser's, between two looks
    co_await write_text(kept, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(status_of(co_await read_head(kept)) == 200);
    auto half = co_await connect_to(server.port());
    co_await write_text(half, "GET / HTTP/1.1\r\nHo");
    auto body = co_await connect_to(server.port());
    co_await write_text(body, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx");
    std::vector<int> statuses;
    for (int i = 0; i < 50; ++i) statuses.push_back(status_of(co_await exchange(server.port(), kGet)));
    CHECK(statuses == std::vector<int>(50, 200));
    CHECK((co_await read_rest(silent)).empty());
  };
  run(io, siege());
}

TEST_CASE("http server: who is being answered is not put out for others") {
  asio::io_context io;
  auto options = small();
  options.max_connections = 1;
  options.patience = 0ms;
  auto gate = std::make_shared<asio::steady_timer>(io, steady_clock::time_point::max());
  bool inside = false;
  RunningServer server(
      io,
      [&, gate](ServerRequest) -> awaitable<ServerResponse> {
        inside = true;
        co_await gate->async_wait(asio::as_tuple(asio::use_awaitable));
        co_return ServerResponse(200, "text/plain", "done");
      },
      options);
  const auto crowd = [&]() -> awaitable<void> {
    auto served = co_await connect_to(server.port());
    co_await write_text(served, kGet);
    CHECK(co_await until([&] { return inside; }));
    CHECK(status_of(co_await exchange(server.port(), kGet)) == 503);
    gate->cancel();
    CHECK(status_of(co_await read_rest(served)) == 200);
  };
  run(io, crowd());
}

TEST_CASE("http server: with a pace, many who ask all the time get no more than one turn in it") {
  asio::io_context io;
  auto options = small();
  options.pace = 5ms;
  options.request_deadline = 60s;
  int answered = 0;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        ++answered;
        co_return ServerResponse(200, "text/plain", "done");
      },
      options);
  const auto crowd = [&]() -> awaitable<void> {
    const auto start = steady_clock::now();
    std::string many;
    for (int i = 0; i < 40; ++i) many += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    auto one = co_await connect_to(server.port());
    auto two = co_await connect_to(server.port());
    co_await write_text(one, many);
    co_await write_text(two, many);
    CHECK(co_await until([&] { return answered == 80; }));
    CHECK(since(start) >= 79 * 5ms);
    for (int i = 0; i < 20; ++i) co_await connect_to(server.port());
    CHECK(status_of(co_await exchange(server.port(), kGet)) == 200);  // the last of them
    CHECK(since(start) >= 95 * 5ms);
  };
  run(io, crowd());
}

TEST_CASE("http server: what it answers by itself is told, what the handler answers is not") {
  asio::io_context io;
  std::vector<std::pair<int, std::string>> told;
  auto options = small();
  options.refused = [&](int status, std::string_view code) { told.emplace_back(status, code); };
  RunningServer server(
      io,
      [](ServerRequest request) -> awaitable<ServerResponse> {
        if (request.path == "/throws") throw std::runtime_error("in the handler");
        co_return ServerResponse(404, "text/plain", "no");
      },
      options);
  CHECK(status_of(ask(io, server.port(), kGet)) == 404);
  CHECK(told.empty());
  CHECK(status_of(ask(io, server.port(), "nonsense\r\n\r\n")) == 400);
  CHECK(status_of(ask(io, server.port(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n")) == 413);
  CHECK(status_of(ask(io, server.port(), "GET /throws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")) == 500);
  CHECK(told == std::vector<std::pair<int, std::string>>{{400, "bad_request"}, {413, "body_too_large"}, {500, "internal"}});
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
    const auto [ec] = co_await refused.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
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

TEST_CASE("http server: a stop cuts off a peer that does not read its answer") {
  asio::io_context io;
  bool answered = false;
  RunningServer server(
      io,
      [&](ServerRequest) -> awaitable<ServerResponse> {
        answered = true;
        co_return ServerResponse(200, "text/plain", std::string(std::size_t{64} << 20, 'x'));
      },
      hasty());
  const auto scene = [&]() -> awaitable<void> {
    auto deaf = co_await connect_to(server.port());
    co_await write_text(deaf, kGet);
    co_await until([&] { return answered; });
    const auto start = steady_clock::now();
    server.stop();
    const bool stopped = co_await until([&] { return server.stopped(); });
    CHECK(stopped);
    CHECK(since(start) < 700ms);  // its own patience with such a peer is a second
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
  CHECK(since(start) < 1s);
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
