#include <rowcrew/price.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

constexpr std::int64_t kMicros = 1'000'000;
constexpr std::int64_t kMostPrice = kMicros * kMicros;

std::optional<std::int64_t> parse(std::string_view text) {
  std::int64_t value = 0;
  int places = -1;  // behind the point; -1 before it
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == '.' && places < 0 && digits > 0) {
      places = 0;
      continue;
    }
    if (c < '0' || c > '9' || value > kMostPrice || places == 6) return std::nullopt;
    value = value * 10 + (c - '0');
    if (places >= 0) ++places;
    ++digits;
  }
  if (digits == 0 || places == 0) return std::nullopt;
  for (int i = std::max(places, 0); i < 6; ++i) {
    if (value > kMostPrice) return std::nullopt;
    value *= 10;
  }
  return value <= kMostPrice ? std::optional(value) : std::nullopt;
}

}  // namespace

std::int64_t read_price(const Settings& section, std::string_view key, std::int64_t fallback) {
  if (!section.has(key)) return fallback;
  const std::string text = section.text(key);
  if (const auto price = parse(text)) return *price;
  throw ConfigError(fmt::format("{}: {} found, expected a price per million such as 0.15, 0 to 1000000", section.full(key), text));
}

void Cost::add(std::int64_t units, std::int64_t micros_per_million) {
  if (units <= 0 || micros_per_million <= 0) return;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() - 1;
  const std::int64_t price = std::min(micros_per_million, kMostPrice);
  // A part of a million units keeps every product below 10^18.
  rest_ += units % kMicros * price % kMicros;
  std::int64_t more = units % kMicros * price / kMicros + rest_ / kMicros;
  rest_ %= kMicros;
  std::int64_t millions = 0;
  if (__builtin_mul_overflow(units / kMicros, price, &millions) || __builtin_add_overflow(more, millions, &more) ||
      __builtin_add_overflow(whole_, more, &whole_) || whole_ > kMost) {
    whole_ = kMost;
    rest_ = 0;
  }
}

}  // namespace rowcrew
