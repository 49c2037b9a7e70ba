#include "base/sd_notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

namespace rowcrew {
namespace {

std::mutex mutex;
/// What the environment said before it was forgotten; empty: nothing seen yet.
std::string remembered_socket;
std::optional<std::chrono::microseconds> remembered_watchdog;

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view(value);
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value <= 0) return std::nullopt;
  return value;
}

/// `mutex` is held.
const std::string& socket_path() {
  if (remembered_socket.empty()) remembered_socket = variable("NOTIFY_SOCKET");
  return remembered_socket;
}

/// `mutex` is held.
std::optional<std::chrono::microseconds> watchdog_interval() {
  if (remembered_watchdog) return remembered_watchdog;
  const auto interval = number(variable("WATCHDOG_USEC"));
  const std::string_view whom = variable("WATCHDOG_PID");
  if (interval && (whom.empty() || number(whom) == ::getpid())) {
    remembered_watchdog = std::chrono::microseconds{*interval};
  }
  return remembered_watchdog;
}

void send_datagram(const std::string& path, std::string_view content) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';  // abstract name
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());

  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  // A manager that does not read must not hold up the event thread for long.
  const timeval limit{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  // Nothing to do about a failure: without the manager there is nobody to tell.
  static_cast<void>(::sendto(fd, content.data(), content.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), length));
  ::close(fd);
}

}  // namespace

void sd_notify_state(std::string_view assignments) {
  std::string path;
  {
    const std::lock_guard lock(mutex);
    path = socket_path();
  }
  if (path.starts_with('/') || path.starts_with('@')) send_datagram(path, assignments);
}

std::optional<std::chrono::microseconds> sd_watchdog_interval() {
  const std::lock_guard lock(mutex);
  return watchdog_interval();
}

void sd_forget_environment() {
  const std::lock_guard lock(mutex);
  socket_path();
  watchdog_interval();
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID",
                           "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    ::unsetenv(name);
  }
}

}  // namespace rowcrew
