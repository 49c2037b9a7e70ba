// What worker and enqueuer of the benchmark harness have in common: times are CLOCK_MONOTONIC
// microseconds, settings come from the environment.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>

namespace rowcrew::bench {

inline double now_us() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

inline std::string text(const char* name, const char* fallback = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

inline std::int64_t number(const char* name, std::int64_t fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : std::atoll(value);
}

}  // namespace rowcrew::bench
