// Randomness behind an interface, so that jitter and tokens can be scripted in tests.
#pragma once

#include <cstdint>

namespace rowcrew {

class Random {
 public:
  virtual ~Random() = default;
  /// Uniform over all 64-bit values, from the kernel's generator: fit for claim tokens.
  virtual std::uint64_t bits() = 0;
  /// Uniform in [0, 1).
  double unit() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }
};

}  // namespace rowcrew
