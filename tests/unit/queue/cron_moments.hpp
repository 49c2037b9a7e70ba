// Moments as "2026-01-31 23:59", UTC.
#pragma once

#include <chrono>
#include <ctime>
#include <string>

#include "queue/cron.hpp"

namespace rowcrew::testing {

inline Cron::Moment moment(const std::string& text) {
  std::tm utc{};
  ::strptime(text.c_str(), "%Y-%m-%d %H:%M", &utc);
  return Cron::Moment(std::chrono::seconds(::timegm(&utc)));
}

inline std::string text(Cron::Moment at) {
  const auto seconds = static_cast<std::time_t>(at.time_since_epoch() / std::chrono::seconds(1));
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char out[32];
  std::strftime(out, sizeof out, "%Y-%m-%d %H:%M", &utc);
  return out;
}

}  // namespace rowcrew::testing
