// A flag that ends waits on sockets in other threads.
#pragma once

#include <chrono>

namespace rowcrew {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Sticky: once triggered, every wait that looks at it ends at once. Thread-safe.
class Interrupt {
 public:
  Interrupt();  ///< throws std::system_error when the process is out of descriptors
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void trigger() noexcept;
  int descriptor() const noexcept { return fd_; }  ///< readable once triggered

 private:
  int fd_;
};

enum class SocketWait { ready, timeout, interrupted };

/// Waits until `fd` has one of the poll(2) `events` (or an error, which counts as ready).
/// `interrupt` may be null; it wins over a ready socket.
SocketWait wait_socket(int fd, short events, SteadyTime deadline, const Interrupt* interrupt);

}  // namespace rowcrew
