#include "net/guarded_socket.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>

namespace rowcrew {
namespace {

struct Peer {
  std::string address;
  unsigned port = 0;
  std::string text() const {
    const bool v6 = address.find(':') != std::string::npos;
    return v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
  }
};

/// Nullopt for anything but IPv4 and IPv6.
std::optional<Peer> numeric(const curl_sockaddr& address) {
  if (address.family != AF_INET && address.family != AF_INET6) return std::nullopt;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(&address.addr, static_cast<socklen_t>(address.addrlen), host.data(),
                    host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return std::nullopt;
  }
  return Peer{host.data(), static_cast<unsigned>(std::stoul(port.data()))};
}

}  // namespace

CURLcode GuardedSocket::attach(CURL* easy) {
  const CURLcode code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &GuardedSocket::open);
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
}

CURLcode GuardedSocket::attach_exclusively(CURL* easy) {
  exclusive_ = true;
  CURLcode code = attach(easy);
  if (code == CURLE_OK) {
    code = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &GuardedSocket::close);
  }
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
}

void GuardedSocket::shut(int how) {
  const std::lock_guard lock(mutex_);
  for (const curl_socket_t fd : sockets_) ::shutdown(fd, how);
}

int GuardedSocket::close(void* self, curl_socket_t fd) noexcept {
  auto& socket = *static_cast<GuardedSocket*>(self);
  {
    // Before its number can come back as somebody else's.
    const std::lock_guard lock(socket.mutex_);
    std::erase(socket.sockets_, fd);
  }
  return ::close(fd);
}

curl_socket_t GuardedSocket::open(void* self, curlsocktype purpose,
                                  curl_sockaddr* address) noexcept {
  auto& socket = *static_cast<GuardedSocket*>(self);
  const auto peer = numeric(*address);
  if (purpose != CURLSOCKTYPE_IPCXN || !peer || !socket.guard_.allows(peer->address, peer->port)) {
    if (socket.refused_.empty()) socket.refused_ = peer ? peer->text() : "of unknown family";
    return CURL_SOCKET_BAD;
  }
  socket.opened_ = true;
  const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd >= 0 && socket.exclusive_) {
    const std::lock_guard lock(socket.mutex_);
    socket.sockets_.push_back(fd);
  }
  return fd;
}

bool is_tls_failure(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return true;
    default:
      return false;
  }
}

}  // namespace rowcrew
