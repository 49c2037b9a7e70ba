#include "base/escape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace rowcrew {
namespace {

constexpr char32_t kInvalid = 0xFFFFFFFF;

struct Decoded {
  char32_t code;       ///< kInvalid for a byte that starts no valid sequence
  std::size_t length;  ///< bytes taken, at least 1
};

/// One character of non-empty `text`; overlong forms, surrogates and values above U+10FFFF are
/// invalid.
Decoded decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {kInvalid, 1};
  char32_t code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {kInvalid, 1};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kSmallest[length] || code > 0x10FFFF || surrogate) return {kInvalid, 1};
  return {code, length};
}

bool breaks_line(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto [code, length] = decode(text);
    switch (code) {
      case U'"':
        out += "\\\"";
        break;
      case U'\\':
        out += "\\\\";
        break;
      case U'\n':
        out += "\\n";
        break;
      case U'\r':
        out += "\\r";
        break;
      case U'\t':
        out += "\\t";
        break;
      case kInvalid:
        out += "\uFFFD";
        break;
      default:
        if (breaks_line(code)) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(code));
        } else {
          out += text.substr(0, length);
        }
    }
    text.remove_prefix(length);
  }
}

void append_prose(std::string& out, std::string_view text) {
  for (auto quote = text.find('"'); quote != text.npos; quote = text.find('"')) {
    append_escaped(out, text.substr(0, quote));
    out += '"';
    text.remove_prefix(quote + 1);
  }
  append_escaped(out, text);
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto [code, length] = decode(text);
    if (code == kInvalid) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_plain_word(std::string_view text) {
  if (text.empty()) return false;
  while (!text.empty()) {
    const auto [code, length] = decode(text);
    if (code == kInvalid || code == U' ' || code == U'"' || code == U'=' || code == U'\\' ||
        breaks_line(code)) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

std::string_view cut_utf8(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  std::size_t end = max;
  // At most three continuation bytes lie between the cut and a character's first byte.
  while (end > 0 && max - end < 4 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  return text.substr(0, end);
}

}  // namespace rowcrew
