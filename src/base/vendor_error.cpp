#include "base/vendor_error.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kDay = 24h;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// How long one of this unit is in milliseconds, and takes it off `text`; 0: none that is known.
std::int64_t take_unit(std::string_view& text) {
  struct Unit {
    std::string_view name;
    std::int64_t ms;
  };
  static constexpr Unit kUnits[] = {{"ms", 1}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}};
  for (const Unit& unit : kUnits) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return unit.ms;
  }
  return 0;
}

// Summer time there: from the second Sunday of March to the first of November, each at two o'clock.
std::chrono::hours pacific_offset(std::chrono::sys_seconds now) {
  using namespace std::chrono;
  const year_month_day today(floor<days>(now));
  const sys_seconds begins = sys_days(today.year() / March / Sunday[2]) + 10h;
  const sys_seconds ends = sys_days(today.year() / November / Sunday[1]) + 9h;
  return now >= begins && now < ends ? -7h : -8h;
}

}  // namespace

json error_object(const std::string& body) {
  json whole = json::parse(body, nullptr, false);
  if (whole.is_array() && whole.size() == 1) whole = json(whole.front());
  if (!whole.is_object()) return nullptr;
  const auto at = whole.find("error");
  return at != whole.end() && at->is_object() ? *at : json(nullptr);
}

std::string text_at(const json& object, std::string_view key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<milliseconds> parse_span(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;  // millionths of a millisecond would be lost: nobody waits for them
  while (!text.empty()) {
    std::int64_t thousandths = 0;
    std::int64_t scale = 1000;
    std::size_t digits = 0;
    bool behind_point = false;
    for (; !text.empty() && (is_digit(text.front()) || (text.front() == '.' && !behind_point)); text.remove_prefix(1)) {
      if (text.front() == '.') {
        behind_point = true;
        continue;
      }
      if (++digits > 12) return std::nullopt;
      const std::int64_t digit = text.front() - '0';
      if (!behind_point) {
        thousandths = thousandths * 10 + digit * 1000;
      } else {
        scale /= 10;
        thousandths += digit * scale;
      }
    }
    const std::int64_t unit = take_unit(text);
    if (digits == 0 || unit == 0) return std::nullopt;
    const std::int64_t longest = kDay.count() * 1000 / unit;
    total = std::min<std::int64_t>(kDay.count(), total + std::min(thousandths, longest) * unit / 1000);
  }
  return milliseconds(total);
}

milliseconds until_pacific_midnight(std::chrono::system_clock::time_point now) {
  using namespace std::chrono;
  const sys_seconds at = floor<seconds>(now);
  const auto there = at + pacific_offset(at);
  // The offset of that midnight, not of now: twice a year a day has another length.
  const sys_seconds midnight = floor<days>(there) + days(1) + 0s;
  return duration_cast<milliseconds>(midnight - pacific_offset(midnight - pacific_offset(at)) - at);
}

}  // namespace rowcrew
