// Bodies that come from files and answers that go into them.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "client_scene.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::awaitable;
using asio::ip::tcp;

namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

/// Bytes in which a piece that is missing, doubled or moved shows.
std::string bytes_of(std::size_t count) {
  std::string bytes(count, '\0');
  std::uint32_t state = 12345;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct FileScene : ClientScene {
  FileScene() {
    std::string name = "/tmp/rowcrew-transfer-XXXXXX";
    folder = ::mkdtemp(name.data());
    target = folder / "answer";
  }
  ~FileScene() { fs::remove_all(folder); }

  std::string write(const std::string& bytes) {
    const fs::path path = folder / "source";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  HttpRequest download(const std::string& url) const {
    HttpRequest request("GET", url);
    request.save_to = target;
    request.max_response_bytes = 100 * kMegabyte;
    return request;
  }
  bool saved() const { return fs::exists(fs::symlink_status(target)); }

  fs::path folder;
  std::string target;
};

std::string head_of(std::size_t length, int status = 200) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

std::size_t announced(const std::string& head) {
  const auto at = head.find("Content-Length: ");
  return at == head.npos ? std::size_t(-1) : std::stoul(head.substr(at + 16));
}

std::size_t peak_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6));
  }
  return 0;
}

/// Files of this process may not grow beyond so much while it lives.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before_;
    small.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("http files: body, file and tail go out as one body of known length, to the byte") {
  FileScene f;
  std::string head;
  std::string got;
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    std::string text;
    auto buffer = asio::dynamic_buffer(text);
    const auto end = co_await asio::async_read_until(socket, buffer, std::string_view("\r\n\r\n"), asio::use_awaitable);
    head = text.substr(0, end);
    got = text.substr(end);
    const auto length = announced(head);
    if (length > got.size()) {
      const auto have = got.size();
      got.resize(length);
      const auto rest = asio::buffer(got.data() + have, length - have);
      co_await asio::async_read(socket, rest, asio::use_awaitable);
    }
    co_await write_text(socket, head_of(0));
  });
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, 5 * kMegabyte}) {
    const std::string bytes = bytes_of(size);
    for (const std::string method : {"POST", "PUT", "PATCH"}) {
      for (const bool framed : {false, true}) {
        CAPTURE(size);
        CAPTURE(method);
        CAPTURE(framed);
        HttpRequest request(method, server.url("/"));
        request.file = f.write(bytes);
        if (framed) request.body = "--b\r\n\r\n";
        if (framed) request.tail = "\r\n--b--";
        const auto sent = send(f.io, f.client, request);
        CHECK(sent.message == "");
        CHECK(sent.response.status == 200);
        CHECK(head.starts_with(method + " / "));
        CHECK(head.find("Transfer-Encoding") == head.npos);
        CHECK(head.find("Expect") == head.npos);
        CHECK(announced(head) == request.body.size() + size + request.tail.size());
        CHECK((got == request.body + bytes + request.tail));
      }
    }
  }
}

TEST_CASE("http files: what cannot be read is refused before a connection is opened") {
  FileScene f;
  RawServer server(f.io, say(head_of(0)));
  ::mkfifo((f.folder / "pipe").c_str(), 0600);
  for (const std::string name : {"nothing", "pipe", "."}) {
    CAPTURE(name);
    HttpRequest request("POST", server.url("/"));
    request.file = f.folder / name;
    const auto sent = send(f.io, f.client, request);
    CHECK(sent.code == "http_file");
    CHECK(sent.error_class == ErrorClass::permanent);
    CHECK(sent.message.starts_with("http: file \"" + request.file + "\" cannot be read: "));
  }
  for (const std::string method : {"GET", "HEAD", "DELETE", "OPTIONS"}) {
    CAPTURE(method);
    HttpRequest request(method, server.url("/"));
    request.file = f.write("x");
    CHECK(send(f.io, f.client, request).code == "http_bad_method");
    request.file.clear();
    request.tail = "x";
    CHECK(send(f.io, f.client, request).code == "http_bad_method");
  }
  CHECK(server.accepted() == 0);
}

TEST_CASE("http files: a file that gets shorter while it is sent ends the transfer") {
  FileScene f;
  const std::string path = f.write(bytes_of(40 * kMegabyte));
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    fs::resize_file(path, 10);
    co_await read_rest(socket);
  });
  HttpRequest request("POST", server.url("/"));
  request.file = path;
  const auto sent = send(f.io, f.client, request);
  CHECK(sent.code == "http_disk");
  CHECK(sent.error_class == ErrorClass::transient);
  CHECK(sent.message == "http: file \"" + path + "\" got shorter while it was sent");
}

TEST_CASE("http files: a file is sent anew where a kept connection was closed, and once where it may have arrived") {
  FileScene f;
  int bodies = 0;
  bool silent = false;
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    for (int i = 0; i < 2; ++i) {
      const auto head = co_await read_head(socket);
      if (head.starts_with("POST")) ++bodies;
      if (silent && i == 1) co_return;
      co_await write_text(socket, head_of(0));
      if (!silent) co_return;
    }
  });
  HttpRequest request("POST", server.url("/"));
  request.file = f.write("abc");
  CHECK(send(f.io, f.client, HttpRequest("GET", server.url("/"))).response.status == 200);
  CHECK(send(f.io, f.client, request).response.status == 200);
  CHECK(bodies == 1);
  silent = true;
  CHECK(send(f.io, f.client, HttpRequest("GET", server.url("/"))).response.status == 200);
  const auto sent = send(f.io, f.client, request);
  CHECK(sent.code == "http_transfer");
  CHECK(sent.message == "http: POST host \"127.0.0.1\": the connection ended before an answer came");
  CHECK(bodies == 2);
}

TEST_CASE("http files: an answer of 2xx goes into the file, to the byte, and an empty one leaves an empty file") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, 5 * kMegabyte}) {
    for (const int status : {200, 206}) {
      CAPTURE(size);
      CAPTURE(status);
      FileScene f;
      const std::string bytes = bytes_of(size);
      RawServer server(f.io, say(head_of(size, status) + bytes));
      const auto sent = send(f.io, f.client, f.download(server.url("/")));
      CHECK(sent.message == "");
      CHECK(sent.response.status == status);
      CHECK(sent.response.body.empty());
      REQUIRE(f.saved());
      CHECK((read_file(f.target) == bytes));
    }
  }
}

TEST_CASE("http files: any other answer comes as a body and leaves no file") {
  for (const int status : {304, 400, 404, 500}) {
    CAPTURE(status);
    FileScene f;
    RawServer server(f.io, say(head_of(status == 304 ? 0 : 3, status) + (status == 304 ? "" : "why")));
    const auto sent = send(f.io, f.client, f.download(server.url("/")));
    CHECK(sent.response.status == status);
    CHECK(sent.response.body == (status == 304 ? "" : "why"));
    CHECK_FALSE(f.saved());
  }
}

TEST_CASE("http files: an answer of 64 MB is not held in memory") {
  FileScene f;
  constexpr std::size_t kSize = 64 * kMegabyte;
  const std::string piece = bytes_of(kMegabyte / 4);
  RawServer server(f.io, [&](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, head_of(kSize));
    for (std::size_t i = 0; i < kSize; i += piece.size()) co_await write_text(socket, piece);
  });
  const auto before = peak_kilobytes();
  CHECK(send(f.io, f.client, f.download(server.url("/"))).response.status == 200);
  CHECK(peak_kilobytes() - before < 8 * 1024);
  CHECK(fs::file_size(f.target) == kSize);
}

TEST_CASE("http files: an answer over the limit, one that breaks off or does not come leaves no file") {
  const std::string body(100, 'x');
  struct Case {
    std::string text;
    const char* code;
  };
  for (const auto& c :
       {Case{head_of(100) + body, "http_body_too_large"},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + body + "\r\n0\r\n\r\n", "http_body_too_large"},
        Case{"HTTP/1.1 200 OK\r\n\r\n" + body, "http_body_too_large"},
        Case{head_of(99) + "part", "http_transfer"}, Case{"", "http_transfer"}}) {
    CAPTURE(c.text);
    FileScene f;
    RawServer server(f.io, say(c.text));
    auto request = f.download(server.url("/"));
    request.max_response_bytes = 99;
    CHECK(send(f.io, f.client, request).code == c.code);
    CHECK_FALSE(f.saved());
  }
  FileScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, head_of(9) + "part");
    co_await read_rest(socket);
  });
  auto request = f.download(server.url("/"));
  request.timeout = 40ms;
  CHECK(send(f.io, f.client, request).code == "http_timeout");
  CHECK_FALSE(f.saved());
}

TEST_CASE("http files: a download that is cancelled midway leaves no file") {
  FileScene f;
  RawServer server(f.io, [](tcp::socket& socket) -> awaitable<void> {
    co_await read_head(socket);
    co_await write_text(socket, head_of(9) + "part");
    co_await read_rest(socket);
  });
  asio::cancellation_signal cancel;
  std::exception_ptr error;
  asio::co_spawn(f.io, f.client.send(f.download(server.url("/"))),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr e, const HttpResponse&) { error = e; }));
  auto arrived = until([&] { return f.saved() && fs::file_size(f.target) == 4; });
  REQUIRE(run(f.io, std::move(arrived)));
  cancel.emit(asio::cancellation_type::terminal);
  auto over = until([&] { return error != nullptr; });
  REQUIRE(run(f.io, std::move(over)));
  CHECK_THROWS_AS(std::rethrow_exception(error), boost::system::system_error);
  CHECK_FALSE(f.saved());
}

TEST_CASE("http files: what stands where the answer shall go is left alone, and nothing is asked") {
  FileScene f;
  RawServer server(f.io, say(head_of(2) + "ok"));
  const std::string precious = f.write("precious");
  SUBCASE("a file") { fs::copy_file(precious, f.target); }
  SUBCASE("a link") { fs::create_symlink(precious, f.target); }
  SUBCASE("a link to nothing") { fs::create_symlink(f.folder / "nothing", f.target); }
  SUBCASE("a folder") { fs::create_directory(f.target); }
  const auto sent = send(f.io, f.client, f.download(server.url("/")));
  CHECK(sent.code == "http_file");
  CHECK(sent.error_class == ErrorClass::permanent);
  CHECK(sent.message == "http: file \"" + f.target + "\" cannot be made: File exists");
  CHECK(f.saved());
  CHECK(read_file(precious) == "precious");
  CHECK_FALSE(fs::exists(f.folder / "nothing"));
  CHECK(server.accepted() == 0);

  auto nowhere = f.download(server.url("/"));
  nowhere.save_to = f.folder / "no" / "folder";
  CHECK(send(f.io, f.client, nowhere).code == "http_file");
}

TEST_CASE("http files: a full disk is a trouble of the moment and leaves no file") {
  FileScene f;
  RawServer server(f.io, say(head_of(kMegabyte) + bytes_of(kMegabyte)));
  Sent sent;
  {
    const SmallDisk disk(100'000);
    sent = send(f.io, f.client, f.download(server.url("/")));
  }
  CHECK(sent.code == "http_disk");
  CHECK(sent.error_class == ErrorClass::transient);
  CHECK(sent.message == "http: file \"" + f.target + "\" could not be written: File too large");
  CHECK_FALSE(f.saved());
}

TEST_CASE("http files: one request uploads a file and saves its answer") {
  FileScene f;
  RunningServer server(f.io, [](ServerRequest request) -> awaitable<ServerResponse> {
    std::string body = request.body;
    std::reverse(body.begin(), body.end());
    co_return ServerResponse(201, "text/plain", body);
  });
  auto request = f.download(server.url("/"));
  request.method = "POST";
  request.body = "ab";
  request.file = f.write("cd");
  request.tail = "ef";
  CHECK(send(f.io, f.client, request).response.status == 201);
  CHECK(read_file(f.target) == "fedcba");
}
