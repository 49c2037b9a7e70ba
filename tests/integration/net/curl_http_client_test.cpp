// One request and its answer.
#include <doctest/doctest.h>

#include <algorithm>

#include "client_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

namespace {

/// Method, path, query, headers as they came, body: one per line.
awaitable<ServerResponse> echo(ServerRequest request) {
  std::string text = request.method + "\n" + request.path + "\n" + request.query + "\n";
  for (const auto& [name, value] : request.headers) text += name + "=" + value + "\n";
  co_return ServerResponse(200, "text/plain", text + request.body);
}

}  // namespace

TEST_CASE("http client: sends method, target, headers and body as given") {
  ClientScene f;
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
  ClientScene f;
  RunningServer server(f.io, echo);
  struct Case {
    const char* method;
    const char* body;
    const char* length;  ///< the announced one, or none
  };
  for (const auto& c :
       {Case{"GET", "", nullptr}, Case{"GET", "q", "1"}, Case{"POST", "", "0"},
        Case{"POST", "abc", "3"}, Case{"PUT", "", "0"}, Case{"PATCH", "ab", "2"},
        Case{"DELETE", "", nullptr}, Case{"DELETE", "a", "1"}, Case{"OPTIONS", "", nullptr}}) {
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
  ClientScene f;
  RawServer server(f.io, say("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"));
  const auto sent = send(f.io, f.client, HttpRequest("HEAD", server.url("/")));
  CHECK(sent.code == "");
  CHECK(sent.response.status == 200);
  CHECK(value_of(sent.response, "Content-Length") == "999999999");
  CHECK(sent.response.body.empty());
}

TEST_CASE("http client: any status is a success of the call, and redirects are not followed") {
  ClientScene f;
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
  ClientScene f;
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

TEST_CASE("http client: large bodies go out without waiting for permission") {
  ClientScene f;
  HttpServerOptions options;
  options.max_body_bytes = std::size_t{4} << 20;
  RunningServer server(
      f.io,
      [](ServerRequest request) -> awaitable<ServerResponse> {
        const std::string expect(request.header("Expect"));
        co_return ServerResponse(200, "text/plain", expect + std::to_string(request.body.size()));
      },
      options);
  HttpRequest request("POST", server.url("/"));
  request.body.assign(std::size_t{3} << 20, 'x');
  CHECK(send(f.io, f.client, request).response.body == std::to_string(request.body.size()));
}

TEST_CASE("http client: an answer over the limit ends the transfer, announced or not") {
  ClientScene f;
  const std::string body(100, 'x');
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + body + "\r\n0\r\n\r\n";
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
  ClientScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, "HTTP/1.1 200 OK\r\n");
    for (;;) co_await write_text(socket, "X-Pad: " + std::string(1000, 'x') + "\r\n");
  });
  CHECK(send(f.io, f.client, HttpRequest("GET", server.url("/"))).code == "http_transfer");
}

TEST_CASE("http client: a head of one endless line is told as too long, not as a lack of memory") {
  ClientScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, "HTTP/1.1 200 OK\r\nX-Pad: ");
    const std::string pad(1000, 'x');
    for (;;) co_await write_text(socket, pad);
  });
  const auto sent = send(f.io, f.client, HttpRequest("GET", server.url("/")));
  CHECK(sent.code == "http_transfer");
  CHECK(sent.message == "http: the head of host \"127.0.0.1\" is longer than 65536 bytes");
}

TEST_CASE("http client: an answer that breaks off is a failed transfer") {
  ClientScene f;
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

TEST_CASE("http client: a peer that speaks no TLS fails the handshake") {
  ClientScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await write_text(socket, "hello, this is not TLS at all\r\n");
    co_await read_rest(socket);
  });
  const auto sent = send(f.io, f.client, HttpRequest("GET", "https" + server.url("/").substr(4)));
  CHECK(sent.code == "http_tls");
  CHECK(sent.error_class == ErrorClass::transient);
}

TEST_CASE("http client: a name that does not exist is a DNS failure") {
  ClientScene f;
  const auto sent = send(f.io, f.client, HttpRequest("GET", "http://nowhere.test/"));
  CHECK(sent.code == "http_dns");
  CHECK(sent.error_class == ErrorClass::transient);
}
