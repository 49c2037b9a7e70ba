// Where the server listens.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <rowcrew/error.hpp>

#include "server_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

namespace {

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

TEST_CASE("http server: a unix socket is served, replaced when stale, and removed at the end") {
  asio::io_context io;
  const Unlink path{temporary_path("server.sock")};
  {  // what a killed process leaves behind
    asio::local::stream_protocol::acceptor dead(io,
                                                asio::local::stream_protocol::endpoint(path.path));
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
  CHECK_THROWS_WITH_AS(
      HttpServer(io.get_executor(), options, echo, log),
      ("address \"" + options.listen + "\" cannot be listened on (Address already in use)").c_str(),
      ConfigError);
}
