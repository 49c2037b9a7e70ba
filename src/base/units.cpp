#include "base/units.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/escape.hpp"

namespace rowcrew {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

// Largest first: formatting takes the first that divides.
constexpr std::array<Unit, 5> kDurationUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 3> kByteUnits{
    {{"GiB", std::uint64_t{1} << 30}, {"MiB", std::uint64_t{1} << 20}, {"KiB", 1024}}};

struct Quantity {
  std::uint64_t number;
  std::string_view unit;
};

/// Digits and whatever follows them; nullopt without digits, with a leading zero or overflow.
std::variant<Quantity, Complaint> split(std::string_view text, Complaint otherwise) {
  Quantity found{0, {}};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, found.number);
  if (error == std::errc::result_out_of_range) return Complaint{"is out of range"};
  if (error != std::errc{}) return otherwise;
  if (text.front() == '0' && end - text.data() > 1) return otherwise;
  found.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return found;
}

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

constexpr std::uint64_t kMaxMilliseconds = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::variant<std::chrono::milliseconds, Complaint> scan_duration(std::string_view text) {
  const auto parts = split(text, "is not a duration");
  if (const auto* complaint = std::get_if<Complaint>(&parts)) return *complaint;
  const auto& [number, unit_name] = std::get<Quantity>(parts);
  if (unit_name.empty()) return Complaint{"has no unit"};
  const Unit* unit = find_unit(kDurationUnits, unit_name);
  if (unit == nullptr) return Complaint{"is not a duration"};
  if (number > kMaxMilliseconds / unit->size) return Complaint{"is out of range"};
  return std::chrono::milliseconds{static_cast<std::int64_t>(number * unit->size)};
}

std::variant<std::uint64_t, Complaint> scan_bytes(std::string_view text) {
  const auto parts = split(text, "is not a size");
  if (const auto* complaint = std::get_if<Complaint>(&parts)) return *complaint;
  const auto& [number, unit_name] = std::get<Quantity>(parts);
  if (unit_name.empty()) return number;
  const Unit* unit = find_unit(kByteUnits, unit_name);
  if (unit == nullptr) return Complaint{"is not a size"};
  if (number > std::numeric_limits<std::uint64_t>::max() / unit->size) {
    return Complaint{"is out of range"};
  }
  return number * unit->size;
}

std::variant<std::int64_t, Complaint> scan_integer(std::string_view text) {
  constexpr Complaint kNotWhole = "is not a whole number";
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return kNotWhole;
  if (error != std::errc{}) return Complaint{"is out of range"};
  const std::string_view digits = text.front() == '-' ? text.substr(1) : text;
  if (digits.front() == '0' && text.size() > 1) return kNotWhole;
  return number;
}

std::optional<bool> scan_flag(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::string format_bytes(std::uint64_t bytes) {
  for (const Unit& unit : kByteUnits) {
    if (bytes != 0 && bytes % unit.size == 0)
      return fmt::format("{}{}", bytes / unit.size, unit.name);
  }
  return std::to_string(bytes);
}

std::string format_duration(std::chrono::milliseconds span) {
  const bool negative = span.count() < 0;
  const auto magnitude = negative ? std::uint64_t{0} - static_cast<std::uint64_t>(span.count())
                                  : static_cast<std::uint64_t>(span.count());
  if (magnitude == 0) return "0s";
  const Unit* chosen = &kDurationUnits.back();  // milliseconds divide everything
  for (const Unit& unit : kDurationUnits) {
    if (magnitude % unit.size != 0) continue;
    chosen = &unit;
    break;
  }
  return fmt::format("{}{}{}", negative ? "-" : "", magnitude / chosen->size, chosen->name);
}

std::chrono::milliseconds parse_duration(std::string_view text, std::string_view subject) {
  const auto scanned = scan_duration(text);
  if (const auto* complaint = std::get_if<Complaint>(&scanned)) {
    throw ConfigError(fmt::format("{}: {} {}, expected a duration such as 30s", subject,
                                  shown(text), *complaint));
  }
  return std::get<std::chrono::milliseconds>(scanned);
}

std::string shown(std::string_view value, std::size_t max) {
  const bool cut = value.size() > max;
  const std::string_view kept = cut ? cut_utf8(value, max) : value;
  if (is_plain_word(kept) && !cut) return std::string(kept);
  std::string out = "\"";
  append_escaped(out, kept);
  out += cut ? "…\"" : "\"";
  return out;
}

}  // namespace rowcrew
