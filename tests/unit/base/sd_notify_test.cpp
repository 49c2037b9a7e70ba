#include "base/sd_notify.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "scratch_dir.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using testing::ScopedEnv;
using testing::ScratchDir;

namespace {

/// The manager's end. A name that starts with '@' is abstract.
class Manager {
 public:
  explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  }
  ~Manager() { ::close(fd_); }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  std::string receive() const {
    char datagram[256];
    const ssize_t got = ::recv(fd_, datagram, sizeof datagram, MSG_DONTWAIT);
    return got < 0 ? "nothing" : std::string(datagram, static_cast<std::size_t>(got));
  }

 private:
  int fd_;
};

}  // namespace

// One story: what the process remembers, it remembers for good.
TEST_CASE("notifications go where the manager listens, also after the environment is forgotten") {
  ::unsetenv("NOTIFY_SOCKET");
  sd_notify_state("READY=1");  // nobody there: nothing happens
  CHECK(sd_watchdog_interval() == std::nullopt);

  const std::string name = "@rowcrew-test-" + std::to_string(::getpid());
  const Manager manager(name);
  const ScopedEnv socket("NOTIFY_SOCKET", name);
  sd_notify_state("READY=1\nSTATUS=idle");
  CHECK(manager.receive() == "READY=1\nSTATUS=idle");
  CHECK(manager.receive() == "nothing");

  const ScopedEnv usec("WATCHDOG_USEC", "30000000");
  {
    const ScopedEnv pid("WATCHDOG_PID", std::to_string(::getpid() + 1));
    CHECK(sd_watchdog_interval() == std::nullopt);
  }
  const ScopedEnv pid("WATCHDOG_PID", std::to_string(::getpid()));
  const ScopedEnv listen("LISTEN_FDS", "1");

  sd_forget_environment();
  for (const char* variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"}) {
    CHECK(std::getenv(variable) == nullptr);
  }
  sd_notify_state("STOPPING=1");
  CHECK(manager.receive() == "STOPPING=1");
  CHECK(sd_watchdog_interval() == std::optional(30'000'000us));
}
