// Many transfers at once: concurrency, limits, time, cancellation, teardown.
#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <vector>

#include "client_scene.hpp"
#include "fake_resolver.hpp"
#include "net/curl_multi.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using std::chrono::steady_clock;

TEST_CASE("http client: three hundred requests are in flight at once on one thread") {
  ClientScene f;
  constexpr int kCount = 300;
  int inside = 0;
  int most = 0;
  // Nobody is answered before everybody has arrived.
  RunningServer server(f.io, [&](ServerRequest) -> awaitable<ServerResponse> {
    most = std::max(most, ++inside);
    co_await until([&] { return most == kCount; });
    --inside;
    co_return ServerResponse(200, "text/plain", "ok");
  });
  int done = 0;
  for (int i = 0; i < kCount; ++i) {
    asio::co_spawn(f.io, f.client.send(HttpRequest("POST", server.url("/"))),
                   [&](std::exception_ptr error, HttpResponse response) {
                     if (!error && response.status == 200 && response.body == "ok") ++done;
                   });
  }
  auto finished = until([&] { return done == kCount; });
  CHECK(run(f.io, std::move(finished)));
  CHECK(most == kCount);
}

TEST_CASE("http client: connections are reused, and a stale one does not fail the next request") {
  ClientScene f;
  const auto script = [](tcp::socket& socket) -> awaitable<void> {
    for (int i = 0; i < 3; ++i) {
      co_await read_head(socket);
      co_await write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  RawServer server(f.io, script);
  for (int i = 0; i < 3; ++i) {
    CHECK(send(f.io, f.client, HttpRequest("GET", server.url("/"))).response.status == 200);
  }
  CHECK(server.accepted() == 1);
  CHECK(send(f.io, f.client, HttpRequest("POST", server.url("/"))).response.status == 200);
  CHECK(server.accepted() == 2);
}

TEST_CASE("http client: a request that may have been acted upon is sent once, whatever becomes of its connection") {
  ClientScene f;
  std::string asked;
  // Every second request of a connection is read and never answered.
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    for (int i = 0; i < 2; ++i) {
      const auto head = co_await read_head(socket);
      asked += head.substr(0, head.find(' ') + 1);
      if (i == 0) co_await write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  const auto second = [&](const std::string& method, const std::string& body) {
    send(f.io, f.client, HttpRequest("GET", server.url("/")));
    asked.clear();
    HttpRequest request(method, server.url("/"));
    request.body = body;
    return send(f.io, f.client, request);
  };
  for (const std::string method : {"POST", "PUT", "PATCH", "DELETE"}) {
    for (const std::string body : {"", "x"}) {
      CAPTURE(method);
      CAPTURE(body);
      const auto sent = second(method, body);
      CHECK(sent.code == "http_transfer");
      CHECK(sent.error_class == ErrorClass::transient);
      CHECK(sent.message == "http: " + method + " host \"127.0.0.1\": the connection ended before an answer came");
      CHECK(asked == method + " ");
    }
  }
  CHECK(second("GET", "").response.status == 200);
  CHECK(asked == "GET GET ");
}

TEST_CASE("http client: transfers beyond the connection limits wait and are served in turn") {
  asio::io_context io;
  CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.0/8"}), CurlLimits(3, 2));
  int inside[2] = {0, 0};
  int most[2] = {0, 0};
  const auto handler = [&](int which) {
    return [&inside, &most, which](ServerRequest) -> awaitable<ServerResponse> {
      most[which] = std::max(most[which], ++inside[which]);
      co_await pause_for(1ms);
      --inside[which];
      co_return ServerResponse(200, "text/plain", "ok");
    };
  };
  RunningServer one(io, handler(0));
  RunningServer two(io, handler(1));
  int done = 0;
  for (int i = 0; i < 40; ++i) {
    asio::co_spawn(io, client.send(HttpRequest("GET", (i % 2 == 0 ? one : two).url("/"))),
                   [&](std::exception_ptr error, const HttpResponse&) { done += error ? 0 : 1; });
  }
  auto finished = until([&] { return done == 40; });
  CHECK(run(io, std::move(finished)));
  CHECK(most[0] == 2);
  CHECK(most[1] <= 2);
}

TEST_CASE("http client: a transfer that waits for a connection times out like any other") {
  asio::io_context io;
  CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.0/8"}), CurlLimits(1, 1));
  RawServer server(io, [](tcp::socket& socket) -> awaitable<void> { co_await read_rest(socket); });
  std::vector<std::string> codes;
  for (int i = 0; i < 3; ++i) {
    HttpRequest request("GET", server.url("/"));
    request.timeout = std::chrono::milliseconds(i == 0 ? 200 : 30 + i);
    asio::co_spawn(io, client.send(std::move(request)),
                   [&](std::exception_ptr error, const HttpResponse&) {
                     try {
                       std::rethrow_exception(error);
                     } catch (const Error& e) {
                       codes.push_back(e.code());
                     }
                   });
  }
  auto finished = until([&] { return codes.size() == 3; });
  CHECK(run(io, std::move(finished)));
  CHECK(std::count(codes.begin(), codes.end(), "http_timeout") == 1);  // the one that was sent
  CHECK(std::count(codes.begin(), codes.end(), "http_connect") == 2);
}

TEST_CASE("http client: an answer that does not come in time is a timeout") {
  ClientScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
    co_await read_rest(socket);
  });
  HttpRequest request("GET", server.url("/secret?token=1"));
  request.timeout = 40ms;
  const auto start = steady_clock::now();
  const auto sent = send(f.io, f.client, request);
  CHECK(since(start) >= 40ms);
  CHECK(since(start) < 1s);
  CHECK(sent.code == "http_timeout");
  CHECK(sent.error_class == ErrorClass::transient);
  CHECK(sent.message == "http: host \"127.0.0.1\" gave no complete answer within 40 ms");
}

TEST_CASE("http client: a connection that does not come about in time is no answer that is missing") {
  ClientScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> { co_await read_rest(socket); });
  HttpRequest request("GET", "https" + server.url("/").substr(4));  // whose handshake nobody answers
  request.timeout = 200ms;
  const auto sent = send(f.io, f.client, request);
  CHECK(sent.code == "http_connect");  // nothing was sent: who pays for what he sends has to know
  CHECK(sent.message == "http: host \"127.0.0.1\" let no connection come about within 200 ms");
}

TEST_CASE("http client: no time left means that not even a connection is opened") {
  ClientScene f;
  RawServer server(f.io, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  for (const auto left : {0ms, -5ms}) {
    HttpRequest request("GET", server.url("/"));
    request.timeout = left;
    CHECK(send(f.io, f.client, request).code == "http_connect");
  }
  HttpRequest patient("GET", server.url("/"));
  patient.timeout = std::chrono::milliseconds::max();
  CHECK(send(f.io, f.client, patient).response.status == 200);
  CHECK(server.accepted() == 1);
}

TEST_CASE("http client: cancelling drops the transfer at once, while the server still thinks") {
  ClientScene f;
  bool asked = false;
  bool dropped = false;
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    asked = true;
    co_await read_rest(socket);
    dropped = true;
  });
  asio::cancellation_signal cancel;
  std::exception_ptr error;
  bool ended = false;
  asio::co_spawn(
      f.io, f.client.send(HttpRequest("GET", server.url("/"))),
      asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr e, const HttpResponse&) {
        error = e;
        ended = true;
      }));
  auto started = until([&] { return asked; });
  REQUIRE(run(f.io, std::move(started)));
  const auto start = steady_clock::now();
  cancel.emit(asio::cancellation_type::terminal);
  auto over = until([&] { return ended && dropped; });
  CHECK(run(f.io, std::move(over)));
  CHECK(since(start) < 1s);
  REQUIRE(error);
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    CHECK(e.code() == asio::error::operation_aborted);
  }
}

TEST_CASE("http client: a name look-up that hangs delays neither timeout nor cancellation") {
  ClientScene f;
  const StuckName stuck("stuck.test");
  SUBCASE("timeout") {
    HttpRequest request("GET", "http://stuck.test/");
    request.timeout = 30ms;
    const auto start = steady_clock::now();
    CHECK(send(f.io, f.client, request).code == "http_connect");
    CHECK(since(start) < 2s);
  }
  SUBCASE("cancellation") {
    asio::cancellation_signal cancel;
    bool ended = false;
    asio::co_spawn(
        f.io, f.client.send(HttpRequest("GET", "http://stuck.test/")),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr e, const HttpResponse&) {
          ended = e != nullptr;
        }));
    auto started = until([&] { return stuck.waiting() == 1; });
    REQUIRE(run(f.io, std::move(started)));
    const auto start = steady_clock::now();
    cancel.emit(asio::cancellation_type::terminal);
    auto over = until([&] { return ended; });
    CHECK(run(f.io, std::move(over)));
    CHECK(since(start) < 1s);
  }
}

TEST_CASE("http client: a loop that is torn down with transfers in flight leaves nothing behind") {
  auto io = std::make_unique<asio::io_context>();
  auto client = std::make_unique<CurlHttpClient>(io->get_executor(), EgressGuard({"127.0.0.0/8"}));
  bool asked = false;
  auto server = std::make_unique<RawServer>(*io, [&](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    asked = true;
    co_await read_rest(socket);
  });
  asio::co_spawn(*io, client->send(HttpRequest("GET", server->url("/"))),
                 [](std::exception_ptr, const HttpResponse&) {});
  auto started = until([&] { return asked; });
  REQUIRE(run(*io, std::move(started)));
  server.reset();
  client.reset();
  io.reset();  // destroys the coroutine, which holds the last of the client
}

TEST_CASE("http client: an idle client keeps no loop running") {
  ClientScene f;
  auto server = std::make_unique<RawServer>(
      f.io, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(send(f.io, f.client, HttpRequest("GET", server->url("/"))).response.status == 200);
  server.reset();
  f.io.restart();
  const auto start = steady_clock::now();
  f.io.run_for(5s);
  CHECK(since(start) < 1s);
}
