// Certificates are verified: a self-signed one is refused, though its name fits.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <rowcrew/error.hpp>
#include <string>
#include <utility>
#include <vector>

#include "net/curl_http_client.hpp"
#include "support/run.hpp"

using namespace rowcrew;
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr const char* kOpenssl = "/usr/bin/openssl";

struct Directory {
  std::string path;
  Directory() {
    std::string name = "/tmp/rowcrew-tls-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path); }
};

/// Runs the openssl program with its stdout and stderr in a pipe.
class Openssl {
 public:
  explicit Openssl(std::vector<std::string> args) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    output_ = ends[0];
    args.insert(args.begin(), kOpenssl);
    std::vector<char*> argv;
    for (auto& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, ends[1], STDERR_FILENO);
    const int failed = ::posix_spawn(&pid_, kOpenssl, &files, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    ::close(ends[1]);
    REQUIRE(failed == 0);
  }
  Openssl(const Openssl&) = delete;
  Openssl& operator=(const Openssl&) = delete;
  ~Openssl() {
    ::close(output_);
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  int wait() {
    int status = -1;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }
  /// Blocks until the program has said `word`; false when it ended without.
  bool says(std::string_view word) {
    std::string heard;
    std::array<char, 256> chunk{};
    while (heard.find(word) == std::string::npos) {
      const auto bytes = ::read(output_, chunk.data(), chunk.size());
      if (bytes <= 0) return false;
      heard.append(chunk.data(), static_cast<std::size_t>(bytes));
    }
    return true;
  }

 private:
  pid_t pid_ = 0;
  int output_ = -1;
};

std::uint16_t free_port() {
  asio::io_context io;
  const tcp::acceptor probe(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  return probe.local_endpoint().port();
}

}  // namespace

TEST_CASE("http client: a server whose certificate nobody vouches for is refused") {
  REQUIRE_MESSAGE(std::filesystem::exists(kOpenssl), "the openssl program is needed");
  const Directory files;
  const std::string key = files.path + "/key.pem";
  const std::string certificate = files.path + "/certificate.pem";
  Openssl maker({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                 "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"});
  REQUIRE(maker.wait() == 0);
  const std::string port = std::to_string(free_port());
  Openssl server(
      {"s_server", "-accept", "127.0.0.1:" + port, "-key", key, "-cert", certificate, "-www"});
  REQUIRE(server.says("ACCEPT"));

  asio::io_context io;
  CurlHttpClient client(io.get_executor(), EgressGuard({"127.0.0.1:" + port}));
  try {
    testing::run(io, client.send(HttpRequest("GET", "https://localhost:" + port + "/")));
    FAIL("the request was sent");
  } catch (const Error& e) {
    CHECK(e.code() == "http_tls");
    CHECK(e.error_class() == ErrorClass::transient);
    CHECK(std::string(e.what()).find("self-signed certificate") != std::string::npos);
  }
}
