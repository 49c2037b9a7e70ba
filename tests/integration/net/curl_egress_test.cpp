// What the client refuses to send, and where to.
#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "client_scene.hpp"
#include "fake_resolver.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

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
  const auto plain =
      send(io, client, HttpRequest("GET", "http://127.0.0.1:" + std::to_string(port)));
  CHECK(plain.code == "http_connect");
  CHECK(plain.error_class == ErrorClass::transient);
  const auto both =
      send(io, client, HttpRequest("GET", "http://localhost:" + std::to_string(port)));
  CHECK(both.code == "http_connect");
}

TEST_CASE("http client: proxies of the environment are not asked") {
  ClientScene f;
  RunningServer server(f.io, answer_ok);
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  const auto sent = send(f.io, f.client, HttpRequest("GET", server.url("/")));
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
  CHECK(sent.response.status == 200);
}

TEST_CASE("http client: malformed URLs are refused without revealing them") {
  ClientScene f;
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
  ClientScene f;
  const std::vector<std::pair<std::string, std::string>> bad = {{"X-A", "1\r\nX-B: s3cret"},
                                                                {"X-A", "1\n2"},
                                                                {"X-A", std::string("1\0", 2)},
                                                                {"X-A\r\nX-B", "1"},
                                                                {"X A", "1"},
                                                                {"X-A:", "1"},
                                                                {"", "1"},
                                                                {"Host", "h"},
                                                                {"content-length", "1"},
                                                                {"Transfer-Encoding", "x"},
                                                                {"TE", "x"},
                                                                {"Connection", "close"},
                                                                {"Expect", "100-continue"},
                                                                {"Upgrade", "x"}};
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
  ClientScene f;
  for (const char* method : {"", "get", "CONNECT", "TRACE", "GET / HTTP/1.1\r\nX: y\r\n", "G T"}) {
    CAPTURE(method);
    CHECK(send(f.io, f.client, HttpRequest(method, "http://127.0.0.1:1/")).code ==
          "http_bad_method");
  }
  HttpRequest request("HEAD", "http://127.0.0.1:1/");
  request.body = "x";
  CHECK(send(f.io, f.client, request).code == "http_bad_method");
}
