#include <rowcrew/retry_after.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <rowcrew/http_answer.hpp>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

std::string_view trimmed(std::string_view value) {
  const auto first = value.find_first_not_of(" \t");
  if (first == value.npos) return {};
  return value.substr(first, value.find_last_not_of(" \t") - first + 1);
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  if (!all_digits(text)) return std::nullopt;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::optional<std::chrono::seconds> wait_of(std::string_view value, std::string_view date,
                                            std::chrono::system_clock::time_point now,
                                            std::chrono::seconds longest) {
  if (all_digits(value)) {
    std::int64_t seconds = 0;
    const auto result = std::from_chars(value.data(), value.data() + value.size(), seconds);
    // More than fits is more than any limit.
    return result.ec == std::errc{} ? std::chrono::seconds(seconds) : longest;
  }
  const auto until = parse_http_date(value);
  if (!until) return std::nullopt;
  const auto since = parse_http_date(date);
  return *until - (since ? *since : std::chrono::floor<std::chrono::seconds>(now));
}

}  // namespace

std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT": every part has its place. The name of the day is redundant.
  static constexpr std::string_view kShape = "..., .. ... .... ..:..:.. GMT";
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (kShape[i] != '.' && kShape[i] != text[i]) return std::nullopt;
  }
  const auto month = kMonths.find(text.substr(8, 3));
  const auto day = number(text.substr(5, 2));
  const auto year = number(text.substr(12, 4));
  const auto hour = number(text.substr(17, 2));
  const auto minute = number(text.substr(20, 2));
  const auto second = number(text.substr(23, 2));
  if (month == kMonths.npos || month % 3 != 0 || !day || !year || !hour || !minute || !second) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(month / 3 + 1)),
                                         std::chrono::day(*day));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

std::optional<std::chrono::milliseconds> retry_after(const HttpHeaders& headers,
                                                     std::chrono::system_clock::time_point now,
                                                     std::chrono::seconds longest) {
  const auto wait =
      wait_of(trimmed(header_of(headers, "Retry-After")), trimmed(header_of(headers, "Date")), now, longest);
  if (!wait || *wait <= 0s) return std::nullopt;
  return std::min(*wait, longest);
}

}  // namespace rowcrew
