// The real clock and the kernel's randomness.
#pragma once

#include <rowcrew/clock.hpp>
#include <rowcrew/random.hpp>

namespace rowcrew {

class SystemClock final : public Clock {
 public:
  Mono mono() const override;
  std::chrono::system_clock::time_point wall() const override;
  boost::asio::awaitable<void> sleep_until(Mono when) override;
};

/// getrandom(2), buffered. Event thread only.
class SystemRandom final : public Random {
 public:
  std::uint64_t bits() override;

 private:
  std::uint64_t buffer_[32] = {};
  unsigned left_ = 0;
};

}  // namespace rowcrew
