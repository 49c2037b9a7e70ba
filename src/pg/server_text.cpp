#include "pg/server_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace rowcrew {
namespace {

constexpr std::size_t kLongestMessage = 400;

std::string_view without_severity(std::string_view text) {
  // "ERROR:  division by zero": the word is in the server's language, the two blanks are not.
  const auto mark = text.find(":  ");
  return mark == std::string_view::npos || mark > 16 ? text : text.substr(mark + 3);
}

constexpr std::size_t kLongestName = 63;

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : without_severity(text)) {
    const bool blank = c == '\n' || c == '\t' || c == '\r' || c == ' ';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  if (out.size() > kLongestMessage) {
    std::size_t end = kLongestMessage;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) --end;
    out.resize(end);
  }
  return out;
}

ServerRefusal read_refusal(std::string_view message) {
  constexpr std::string_view kPlace = "LOCATION:";
  constexpr std::size_t kCode = 5;
  ServerRefusal refusal;
  std::string kept;
  while (!message.empty()) {
    std::string_view line = message.substr(0, message.find('\n'));
    message.remove_prefix(std::min(line.size() + 1, message.size()));
    if (line.starts_with(kPlace)) continue;
    // "FATAL:  53300: sorry, too many clients already", perhaps behind what libpq says of the host.
    const auto code = line.find(":  ");
    if (code != std::string_view::npos && line.size() > code + 3 + kCode && line.substr(code + 3 + kCode).starts_with(": ")) {
      const std::string_view state = line.substr(code + 3, kCode);
      refusal.turned_away = refusal.turned_away || !(state.starts_with("57P") || state == "3D000");
      refusal.crowded = refusal.crowded || state == "53300";
      kept += line.substr(0, code + 3);
      line.remove_prefix(code + 3 + kCode + 2);
    }
    kept += line;
    kept += '\n';
  }
  refusal.text = one_line(kept);
  return refusal;
}

std::string prepared_name(std::string_view statement) {
  if (statement.size() <= kLongestName) return std::string(statement);
  constexpr std::size_t kHash = 17;  // "#" and sixteen digits
  return fmt::format("{}#{:016x}", statement.substr(0, kLongestName - kHash), fnv1a(statement));
}

}  // namespace rowcrew
