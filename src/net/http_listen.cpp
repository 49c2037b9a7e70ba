#include "net/http_listen.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>
#include <cstring>
#include <optional>
#include <rowcrew/error.hpp>
#include <string_view>

namespace rowcrew {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

std::optional<asio::ip::tcp::endpoint> to_tcp(const StreamProtocol::endpoint& from) {
  const int family = from.protocol().family();
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  asio::ip::tcp::endpoint to;
  if (from.size() > to.capacity()) return std::nullopt;
  std::memcpy(to.data(), from.data(), from.size());
  to.resize(from.size());
  return to;
}

asio::ip::tcp::endpoint parse_tcp(const std::string& listen) {
  const auto malformed = [&] {
    return ConfigError(fmt::format(
        "address \"{}\" is malformed, expected host:port, [::1]:port or unix:/path", listen));
  };
  const auto colon = listen.rfind(':');
  if (colon == std::string::npos) throw malformed();
  std::string host = listen.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec || address.is_v6() != bracketed) throw malformed();
  std::uint16_t port = 0;
  const char* end = listen.data() + listen.size();
  const auto read = std::from_chars(listen.data() + colon + 1, end, port);
  if (read.ec != std::errc{} || read.ptr != end) throw malformed();
  return {address, port};
}

std::string checked_path(const std::string& listen) {
  const auto path = unix_path(listen);
  if (!path.starts_with('/') || path.size() >= sizeof(sockaddr_un::sun_path)) {
    throw ConfigError(
        fmt::format("address \"{}\" has no usable path, expected an absolute one under {} bytes",
                    listen, sizeof(sockaddr_un::sun_path)));
  }
  return path;
}

/// Removes a socket file that a dead process left behind; one that answers is left alone.
void remove_stale(const std::string& path) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const asio::local::stream_protocol::endpoint endpoint(path);
  const auto length = static_cast<socklen_t>(endpoint.size());
  const bool refused = probe >= 0 && ::connect(probe, endpoint.data(), length) != 0 &&
                       errno == ECONNREFUSED;  // a regular file answers so too: unlink only sockets
  struct stat found {};
  if (refused && ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
    ::unlink(path.c_str());
  }
  if (probe >= 0) ::close(probe);
}

StreamAcceptor bind_to(const asio::any_io_executor& executor,
                       const StreamProtocol::endpoint& endpoint, const std::string& listen) {
  StreamAcceptor acceptor(executor);
  try {
    acceptor.open(endpoint.protocol());
    acceptor.set_option(asio::socket_base::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(asio::socket_base::max_listen_connections);
    return acceptor;
  } catch (const boost::system::system_error& e) {
    throw ConfigError(
        fmt::format("address \"{}\" cannot be listened on ({})", listen, e.code().message()));
  }
}

int socket_int(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

StreamAcceptor take_over(const asio::any_io_executor& executor, int fd) {
  if (socket_int(fd, SO_ACCEPTCONN) != 1 || socket_int(fd, SO_TYPE) != SOCK_STREAM) {
    throw ConfigError(fmt::format("inherited descriptor {} is no listening stream socket", fd));
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  StreamAcceptor acceptor(executor);
  acceptor.assign(StreamProtocol(socket_int(fd, SO_DOMAIN), socket_int(fd, SO_PROTOCOL)), fd);
  return acceptor;
}

}  // namespace

std::string unix_path(const std::string& listen) {
  return listen.starts_with(kUnixPrefix) ? listen.substr(kUnixPrefix.size()) : "";
}

void check_listen(const std::string& listen) {
  if (listen.starts_with(kUnixPrefix)) {
    checked_path(listen);
  } else {
    parse_tcp(listen);
  }
}

StreamAcceptor open_listener(const asio::any_io_executor& executor, const std::string& listen,
                             int inherited_fd) {
  if (inherited_fd >= 0) return take_over(executor, inherited_fd);
  if (!listen.starts_with(kUnixPrefix)) return bind_to(executor, parse_tcp(listen), listen);
  const auto path = checked_path(listen);
  remove_stale(path);
  return bind_to(executor, asio::local::stream_protocol::endpoint(path), listen);
}

std::string peer_address(const StreamSocket& socket) {
  error_code ec;
  const auto endpoint = socket.remote_endpoint(ec);
  if (ec) return "";
  const auto tcp = to_tcp(endpoint);
  return tcp ? tcp->address().to_string() : "unix";
}

std::uint16_t local_port(const StreamAcceptor& acceptor) {
  error_code ec;
  const auto tcp = to_tcp(acceptor.local_endpoint(ec));
  return tcp ? tcp->port() : 0;
}

}  // namespace rowcrew
