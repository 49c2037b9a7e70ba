#include "retry_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include <rowcrew/error.hpp>

namespace rowcrew::webhook {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds kLongest = std::chrono::days(7);
constexpr std::size_t kMostWaits = 100;

std::optional<milliseconds> unit_of(std::string_view word) {
  if (word == "ms") return 1ms;
  if (word == "s") return 1s;
  if (word == "m") return 1min;
  if (word == "h") return 1h;
  if (word == "d") return 24h;
  return std::nullopt;
}

std::optional<milliseconds> parse_wait(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto unit = unit_of(text.substr(digits));
  std::int64_t count = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + digits, count);
  if (digits == 0 || error != std::errc{} || !unit || count > kLongest / *unit) return std::nullopt;
  return count * *unit;
}

}  // namespace

RetrySchedule::RetrySchedule() : waits_{5s, 5min, 30min, 2h, 5h, 10h, 14h, 20h, 24h} {}

RetrySchedule::RetrySchedule(const Settings& webhook) {
  const std::vector<std::string> usual = {"5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"};
  const std::string key = webhook.full("retry_schedule");
  for (const std::string& text : webhook.texts("retry_schedule", usual)) {
    const auto wait = parse_wait(text);
    if (!wait) {
      throw ConfigError(
          fmt::format("{}: \"{}\" found, expected durations such as 30s or 2h, 0s to 7d", key,
                      text));
    }
    waits_.push_back(*wait);
  }
  if (waits_.empty() || waits_.size() > kMostWaits) {
    throw ConfigError(fmt::format("{}: {} durations found, expected 1 to {}", key, waits_.size(),
                                  kMostWaits));
  }
}

milliseconds RetrySchedule::wait(int attempt, double unit) const {
  const auto last = static_cast<int>(waits_.size());
  const milliseconds wait = waits_[static_cast<std::size_t>(std::clamp(attempt, 1, last) - 1)];
  const double factor = 0.9 + 0.2 * unit;
  return milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) * factor));
}

}  // namespace rowcrew::webhook
