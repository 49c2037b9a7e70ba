#include "net/curl_http_client.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <cstdlib>
#include <optional>
#include <rowcrew/error.hpp>

#include "fake_resolver.hpp"
#include "loopback.hpp"
#include "net/curl_multi.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using std::chrono::steady_clock;

namespace {

EgressGuard loopback_allowed() { return EgressGuard({"127.0.0.0/8", "::1"}); }

awaitable<ServerResponse> answer_ok(ServerRequest) {
  co_return ServerResponse(200, "text/plain", "ok");
}

/// Method, path, query, headers as they came, body: one per line.
awaitable<ServerResponse> echo(ServerRequest request) {
  std::string text = request.method + "\n" + request.path + "\n" + request.query + "\n";
  for (const auto& [name, value] : request.headers) text += name + "=" + value + "\n";
  co_return ServerResponse(200, "text/plain", text + request.body);
}

/// The code of the Error that `send` threw, or "" and the status.
struct Sent {
  std::string code;
  std::string message;
  ErrorClass error_class = ErrorClass::bug;
  HttpResponse response;
};

Sent send(asio::io_context& io, CurlHttpClient& client, HttpRequest request) {
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

std::string value_of(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

struct Fixture {
  asio::io_context io;
  CurlHttpClient client{io.get_executor(), loopback_allowed()};
};

/// Reads one request's head, answers with the text, closes.
RawServer::Script say(std::string text) {
  return [text](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, text);
  };
}

}  // namespace

TEST_CASE("http client: sends method, target, headers and body as given") {
  Fixture f;
  RunningServer server(f.io, echo);
  HttpRequest request("PUT", server.url("/a/../b%20c?x=1&y"));
  request.headers = {{"X-One", "1"}, {"X-Two", " a\tb "}, {"X-Two", "c"}, {"X-Empty", ""}};
  request.body = std::string("body\0with nul", 13);
  const auto sent = send(f.io, f.client, request);
  CHECK(sent.response.status == 200);
  const std::string& text = sent.response.body;
  CHECK(text.starts_with("PUT\n/a/../b c\nx=1&y\n"));
  for (const char* line : {"\nX-One=1\n", "\nX-Two=a\tb\n", "\nX-Two=c\n", "\nX-Empty=\n",
                           "\nContent-Length=13\n", "\nUser-Agent=rowcrew/"}) {
    CAPTURE(line);
    CHECK(text.find(line) != std::string::npos);
  }
  CHECK(text.find("Content-Type") == std::string::npos);
  CHECK(text.find("Expect") == std::string::npos);
  CHECK(text.ends_with(request.body));
}

TEST_CASE("http client: every method gets the framing that it needs") {
  Fixture f;
  RunningServer server(f.io, echo);
  struct Case {
    const char* method;
    const char* body;
    const char* length;  ///< the announced one, or none
  };
  for (const auto& c : {Case{"GET", "", nullptr}, Case{"GET", "q", "1"}, Case{"POST", "", "0"},
                        Case{"POST", "abc", "3"}, Case{"PUT", "", "0"}, Case{"PATCH", "ab", "2"},
                        Case{"DELETE", "", nullptr}, Case{"DELETE", "a", "1"},
                        Case{"OPTIONS", "", nullptr}}) {
    CAPTURE(c.method);
    CAPTURE(c.body);
    HttpRequest request(c.method, server.url("/"));
    request.body = c.body;
    const auto sent = send(f.io, f.client, request);
    CHECK(sent.response.status == 200);
    CHECK(sent.response.body.starts_with(std::string(c.method) + "\n"));
    const auto at = sent.response.body.find("Content-Length=");
    CHECK((at == std::string::npos) == (c.length == nullptr));
    if (c.length != nullptr) {
      CHECK(sent.response.body.substr(at).starts_with("Content-Length=" + std::string(c.length)));
    }
  }
}

TEST_CASE("http client: an answer to HEAD has no body, whatever length it announces") {
  Fixture f;
  RawServer server(f.io, say("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"));
  const auto sent = send(f.io, f.client, HttpRequest("HEAD", server.url("/")));
  CHECK(sent.code == "");
  CHECK(sent.response.status == 200);
  CHECK(value_of(sent.response, "Content-Length") == "999999999");
  CHECK(sent.response.body.empty());
}

TEST_CASE("http client: any status is a success of the call, and redirects are not followed") {
  Fixture f;
  RunningServer target(f.io, answer_ok);
  RunningServer server(f.io, [&](ServerRequest request) -> awaitable<ServerResponse> {
    ServerResponse response(std::stoi(request.path.substr(1)), "text/plain", "");
    response.headers = {{"Location", target.url("/")}, {"X-A", "1"}, {"X-A", "2"}};
    co_return response;
  });
  for (const int status : {201, 204, 302, 307, 400, 404, 410, 429, 500, 503}) {
    CAPTURE(status);
    const auto sent =
        send(f.io, f.client, HttpRequest("GET", server.url("/" + std::to_string(status))));
    CHECK(sent.code == "");
    CHECK(sent.response.status == status);
    CHECK(value_of(sent.response, "Location") == target.url("/"));
    const auto& all = sent.response.headers;
    CHECK(std::count_if(all.begin(), all.end(), [](auto& h) { return h.first == "X-A"; }) == 2);
  }
}

TEST_CASE("http client: interim answers and trailers are not taken for headers") {
  Fixture f;
  RawServer server(f.io, say("HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Real: 1\r\n\r\n"
                             "2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"));
  const auto sent = send(f.io, f.client, HttpRequest("GET", server.url("/")));
  CHECK(sent.response.status == 200);
  CHECK(sent.response.body == "ok");
  CHECK(value_of(sent.response, "X-Real") == "1");
  CHECK(value_of(sent.response, "X-Early") == "");
  CHECK(value_of(sent.response, "X-Late") == "");
}

TEST_CASE("http client: three hundred requests are in flight at once on one thread") {
  Fixture f;
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
  Fixture f;
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

TEST_CASE("http client: transfers beyond the connection limits wait and are served in turn") {
  asio::io_context io;
  CurlHttpClient client(io.get_executor(), loopback_allowed(), CurlLimits(3, 2));
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
  CurlHttpClient client(io.get_executor(), loopback_allowed(), CurlLimits(1, 1));
  RawServer server(io, [](tcp::socket& socket) -> awaitable<void> { co_await read_rest(socket); });
  std::vector<std::string> codes;
  for (int i = 0; i < 3; ++i) {
    HttpRequest request("GET", server.url("/"));
    request.timeout = std::chrono::milliseconds(30 + i);
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
  CHECK(std::count(codes.begin(), codes.end(), "http_timeout") == 3);
}

TEST_CASE("http client: an answer that does not come in time is a timeout") {
  Fixture f;
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

TEST_CASE("http client: no time left means that nothing is sent") {
  Fixture f;
  RunningServer server(f.io, answer_ok);
  for (const auto left : {0ms, -5ms}) {
    HttpRequest request("GET", server.url("/"));
    request.timeout = left;
    CHECK(send(f.io, f.client, request).code == "http_timeout");
  }
  HttpRequest patient("GET", server.url("/"));
  patient.timeout = std::chrono::milliseconds::max();
  CHECK(send(f.io, f.client, patient).response.status == 200);
}

TEST_CASE("http client: cancelling drops the transfer at once, while the server still thinks") {
  Fixture f;
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
  asio::co_spawn(f.io, f.client.send(HttpRequest("GET", server.url("/"))),
                 asio::bind_cancellation_slot(cancel.slot(),
                                              [&](std::exception_ptr e, const HttpResponse&) {
                                                error = e;
                                                ended = true;
                                              }));
  auto started = until([&] { return asked; });
  REQUIRE(run(f.io, std::move(started)));
  const auto start = steady_clock::now();
  cancel.emit(asio::cancellation_type::terminal);
  auto over = until([&] { return ended && dropped; });
  CHECK(run(f.io, std::move(over)));
  CHECK(since(start) < 100ms);
  REQUIRE(error);
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    CHECK(e.code() == asio::error::operation_aborted);
  }
}

TEST_CASE("http client: a name look-up that hangs delays neither timeout nor cancellation") {
  Fixture f;
  const StuckName stuck("stuck.test");
  SUBCASE("timeout") {
    HttpRequest request("GET", "http://stuck.test/");
    request.timeout = 30ms;
    const auto start = steady_clock::now();
    CHECK(send(f.io, f.client, request).code == "http_timeout");
    CHECK(since(start) < 500ms);
  }
  SUBCASE("cancellation") {
    asio::cancellation_signal cancel;
    bool ended = false;
    asio::co_spawn(f.io, f.client.send(HttpRequest("GET", "http://stuck.test/")),
                   asio::bind_cancellation_slot(
                       cancel.slot(),
                       [&](std::exception_ptr e, const HttpResponse&) { ended = e != nullptr; }));
    auto started = until([&] { return stuck.waiting() == 1; });
    REQUIRE(run(f.io, std::move(started)));
    const auto start = steady_clock::now();
    cancel.emit(asio::cancellation_type::terminal);
    auto over = until([&] { return ended; });
    CHECK(run(f.io, std::move(over)));
    CHECK(since(start) < 100ms);
  }
}

TEST_CASE("http client: an answer over the limit ends the transfer, announced or not") {
  Fixture f;
  const std::string body(100, 'x');
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + body +
                              "\r\n0\r\n\r\n";
  const std::string announced = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body;
  const std::string unframed = "HTTP/1.1 200 OK\r\n\r\n" + body;
  for (const auto& text : {chunked, announced, unframed}) {
    CAPTURE(text);
    RawServer server(f.io, say(text));
    HttpRequest request("GET", server.url("/"));
    request.max_response_bytes = 99;
    const auto over = send(f.io, f.client, request);
    CHECK(over.code == "http_body_too_large");
    CHECK(over.error_class == ErrorClass::permanent);
    CHECK(over.message == "http: the answer of host \"127.0.0.1\" is longer than 99 bytes");
    request.max_response_bytes = 100;
    CHECK(send(f.io, f.client, request).response.body == body);
    request.max_response_bytes = 0;
    CHECK(send(f.io, f.client, request).code == "http_body_too_large");
  }
}

TEST_CASE("http client: an endless head ends the transfer") {
  Fixture f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, "HTTP/1.1 200 OK\r\n");
    for (;;) co_await write_text(socket, "X-Pad: " + std::string(1000, 'x') + "\r\n");
  });
  CHECK(send(f.io, f.client, HttpRequest("GET", server.url("/"))).code == "http_transfer");
}

TEST_CASE("http client: addresses that are not allowed are refused before connecting") {
  asio::io_context io;
  RawServer server(io, say("HTTP/1.1 200 OK\r\n\r\n"));
  const std::string port = server.url("").substr(server.url("").rfind(':') + 1);
  CurlHttpClient client(io.get_executor(), EgressGuard());
  for (const std::string host : {"127.0.0.1", "localhost", "[::1]", "0177.0.0.1", "2130706433",
                                 "0x7f.1", "127.1", "0", "[::ffff:127.0.0.1]", "0.0.0.0"}) {
    CAPTURE(host);
    const auto sent = send(io, client, HttpRequest("GET", "http://" + host + ":" + port + "/"));
    CHECK(sent.code == "egress_refused");
    CHECK(sent.error_class == ErrorClass::permanent);
  }
  CHECK(server.accepted() == 0);
  const auto sent = send(io, client, HttpRequest("GET", "http://127.0.0.1:" + port));
  CHECK(sent.message == "http: address 127.0.0.1:" + port +
                            " of host \"127.0.0.1\" is not allowed, allow-list it under "
                            "egress.allow");
}

TEST_CASE("http client: a name is judged by what it resolves to") {
  asio::io_context io;
  RunningServer server(io, answer_ok);
  const std::string port = std::to_string(server.port());
  const FakeName inner("inner.test", {"127.0.0.1"});
  const FakeName mixed("mixed.test", {"10.255.255.1", "169.254.169.254", "127.0.0.1"});
  CurlHttpClient strict(io.get_executor(), EgressGuard());
  const auto refused = send(io, strict, HttpRequest("GET", "http://inner.test:" + port));
  CHECK(refused.code == "egress_refused");
  CHECK(refused.message == "http: address 127.0.0.1:" + port +
                               " of host \"inner.test\" is not allowed, allow-list it under "
                               "egress.allow");

  SUBCASE("allow-listed with its port, it passes") {
    CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.1:" + port}));
    CHECK(send(io, client, HttpRequest("GET", "http://inner.test:" + port)).response.status == 200);
    CHECK(send(io, client, HttpRequest("GET", "http://inner.test:1")).code == "egress_refused");
  }
  SUBCASE("of several addresses an allowed one is used") {
    CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.1:" + port}));
    CHECK(send(io, client, HttpRequest("GET", "http://mixed.test:" + port)).response.status == 200);
    CHECK(send(io, client, HttpRequest("GET", "http://localhost:" + port)).response.status == 200);
  }
}

TEST_CASE("http client: an allowed address that does not answer is no refusal") {
  asio::io_context io;
  std::uint16_t port = 0;
  {
    tcp::acceptor gone(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    port = gone.local_endpoint().port();
  }
  CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.1"}));
  const auto plain = send(io, client, HttpRequest("GET", "http://127.0.0.1:" + std::to_string(port)));
  CHECK(plain.code == "http_connect");
  CHECK(plain.error_class == ErrorClass::transient);
  const auto both = send(io, client, HttpRequest("GET", "http://localhost:" + std::to_string(port)));
  CHECK(both.code == "http_connect");
}

TEST_CASE("http client: a name that does not exist is a DNS failure") {
  Fixture f;
  const auto sent = send(f.io, f.client, HttpRequest("GET", "http://nowhere.test/"));
  CHECK(sent.code == "http_dns");
  CHECK(sent.error_class == ErrorClass::transient);
}

TEST_CASE("http client: a peer that speaks no TLS fails the handshake") {
  Fixture f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await write_text(socket, "hello, this is not TLS at all\r\n");
    co_await read_rest(socket);
  });
  const auto sent = send(f.io, f.client, HttpRequest("GET", "https" + server.url("/").substr(4)));
  CHECK(sent.code == "http_tls");
  CHECK(sent.error_class == ErrorClass::transient);
}

TEST_CASE("http client: an answer that breaks off is a failed transfer") {
  Fixture f;
  for (const char* text : {"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
                           "HTTP/1.1 200 OK\r\nX: 1\r\n", "no http at all\r\n\r\n"}) {
    CAPTURE(text);
    RawServer server(f.io, say(text));
    const auto sent = send(f.io, f.client, HttpRequest("POST", server.url("/")));
    CHECK(sent.code == "http_transfer");
    CHECK(sent.error_class == ErrorClass::transient);
  }
}

TEST_CASE("http client: malformed URLs are refused without revealing them") {
  Fixture f;
  for (const std::string url :
       {"", "example.com", "/path", "ftp://h/", "file:///etc/passwd", "gopher://h", "http://",
        "http://u@h/s3cret", "http://u:s3cret@h/", "https://h\\@evil/", "http://h/a b",
        "http://h/a\r\nX: s3cret", "http://h:99999/", "http://[::1", "http://h\t/", "scp://h/",
        "https://example.com:s3cret/"}) {
    CAPTURE(url);
    const auto sent = send(f.io, f.client, HttpRequest("GET", url));
    CHECK(sent.code == "http_bad_url");
    CHECK(sent.error_class == ErrorClass::permanent);
    CHECK(sent.message.find("s3cret") == std::string::npos);
  }
  CHECK(send(f.io, f.client, HttpRequest("GET", std::string("http://h/\0x", 11))).code ==
        "http_bad_url");
}

TEST_CASE("http client: headers cannot inject others nor reframe the message") {
  Fixture f;
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"X-A", "1\r\nX-B: s3cret"}, {"X-A", "1\n2"}, {"X-A", std::string("1\0", 2)},
      {"X-A\r\nX-B", "1"},         {"X A", "1"},    {"X-A:", "1"},
      {"", "1"},                   {"Host", "h"},   {"content-length", "1"},
      {"Transfer-Encoding", "x"},  {"TE", "x"},     {"Connection", "close"},
      {"Expect", "100-continue"},  {"Upgrade", "x"}};
  for (const auto& header : bad) {
    CAPTURE(header.first);
    HttpRequest request("GET", "http://127.0.0.1:1/");
    request.headers = {header};
    const auto sent = send(f.io, f.client, request);
    CHECK(sent.code == "http_bad_header");
    CHECK(sent.error_class == ErrorClass::permanent);
    CHECK(sent.message.find("s3cret") == std::string::npos);
  }
}

TEST_CASE("http client: only the common methods are sent") {
  Fixture f;
  for (const char* method : {"", "get", "CONNECT", "TRACE", "GET / HTTP/1.1\r\nX: y\r\n", "G T"}) {
    CAPTURE(method);
    CHECK(send(f.io, f.client, HttpRequest(method, "http://127.0.0.1:1/")).code ==
          "http_bad_method");
  }
  HttpRequest request("HEAD", "http://127.0.0.1:1/");
  request.body = "x";
  CHECK(send(f.io, f.client, request).code == "http_bad_method");
}

TEST_CASE("http client: proxies of the environment are not asked") {
  Fixture f;
  RunningServer server(f.io, answer_ok);
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  const auto sent = send(f.io, f.client, HttpRequest("GET", server.url("/")));
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
  CHECK(sent.response.status == 200);
}

TEST_CASE("http client: large bodies go out without waiting for permission") {
  Fixture f;
  HttpServerOptions options;
  options.max_body_bytes = std::size_t{4} << 20;
  RunningServer server(
      f.io,
      [](ServerRequest request) -> awaitable<ServerResponse> {
        co_return ServerResponse(200, "text/plain", std::to_string(request.body.size()));
      },
      options);
  HttpRequest request("POST", server.url("/"));
  request.body.assign(std::size_t{3} << 20, 'x');
  CHECK(send(f.io, f.client, request).response.body == std::to_string(request.body.size()));
}

TEST_CASE("http client: a loop that is torn down with transfers in flight leaves nothing behind") {
  auto io = std::make_unique<asio::io_context>();
  auto client = std::make_unique<CurlHttpClient>(io->get_executor(), loopback_allowed());
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
  SUBCASE("client first") {
    server.reset();
    client.reset();
    io.reset();
  }
  SUBCASE("loop first") {
    server.reset();
    io.reset();
    client.reset();
  }
}

TEST_CASE("http client: an idle client keeps no loop running") {
  Fixture f;
  auto server = std::make_unique<RawServer>(
      f.io, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(send(f.io, f.client, HttpRequest("GET", server->url("/"))).response.status == 200);
  server.reset();
  f.io.restart();
  const auto start = steady_clock::now();
  f.io.run_for(5s);
  CHECK(since(start) < 1s);
}
