#include "pg/interrupt.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace rowcrew {

Interrupt::Interrupt() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Interrupt::~Interrupt() {
  ::close(fd_);
}

void Interrupt::trigger() noexcept {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then it is readable already.
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

SocketWait wait_socket(int fd, short events, SteadyTime deadline, const Interrupt* interrupt) {
  using std::chrono::milliseconds;
  pollfd watched[] = {{fd, events, 0}, {interrupt ? interrupt->descriptor() : -1, POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto within = std::clamp<milliseconds::rep>(left.count(), 0, 3'600'000);
    const int ready = ::poll(watched, 2, static_cast<int>(within));
    if (ready < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "poll");
    }
    if (watched[1].revents != 0) return SocketWait::interrupted;
    if (watched[0].revents != 0) return SocketWait::ready;
    if (left <= milliseconds(0)) return SocketWait::timeout;
  }
}

}  // namespace rowcrew
