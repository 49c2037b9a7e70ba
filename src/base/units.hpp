// Text forms of durations, sizes and numbers as the configuration writes them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace rowcrew {

/// "is not a duration", "has no unit", "is out of range": what a sentence says about a value.
using Complaint = std::string_view;

/// Each scans all of `text`. No sign (whole numbers excepted), no blanks, no fractions, no octal
/// or hexadecimal: what reads as one number in one language and as another elsewhere is refused.
std::variant<std::chrono::milliseconds, Complaint> scan_duration(std::string_view text);
std::variant<std::uint64_t, Complaint> scan_bytes(std::string_view text);
std::variant<std::int64_t, Complaint> scan_integer(std::string_view text);
std::optional<bool> scan_flag(std::string_view text);

/// The shortest exact form: 10485760 -> "10MiB", 1000 -> "1000".
std::string format_bytes(std::uint64_t bytes);

/// A value for a message or a dump: bare when it is one plain word, else quoted and escaped; cut
/// after `max` bytes.
std::string shown(std::string_view value, std::size_t max = 60);

}  // namespace rowcrew
