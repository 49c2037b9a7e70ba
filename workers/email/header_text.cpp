#include "header_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include <rowcrew/error.hpp>

namespace rowcrew::email {
namespace {

constexpr std::string_view kWordOpen = "=?UTF-8?B?";
constexpr std::string_view kWordClose = "?=";
constexpr std::size_t kMaxWord = 75;  // RFC 2047, section 2
constexpr std::size_t kMaxText = 2'000;

bool is_printable(char c) {
  return c >= ' ' && c <= '~';
}

void check_value(std::string_view name, std::string_view value) {
  if (holds_control(value)) {
    throw PermanentError("bad_header", fmt::format("The mail's {} would hold a line end or another "
                                                   "control character.",
                                                   name));
  }
}

/// Bytes of the code point that begins here; 1 for a stray byte.
std::size_t code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return std::min(length, text.size());
}

/// `value` in RFC 2047 words, one per line; the first has `used` columns before it.
std::string encoded_words(std::string_view value, std::size_t used) {
  std::string out;
  while (!value.empty()) {
    // The first line is shared with the header's name, the others begin with a blank.
    const std::size_t room = std::min(kMaxWord, kMaxLine - (out.empty() ? used : 1));
    const std::size_t bytes = (room - kWordOpen.size() - kWordClose.size()) / 4 * 3;
    std::size_t taken = 0;
    while (taken < value.size()) {
      const std::size_t next = code_point(value.substr(taken));
      if (taken + next > bytes) break;
      taken += next;
    }
    if (!out.empty()) out += "\r\n ";
    out += fmt::format("{}{}{}", kWordOpen, base64(value.substr(0, taken)), kWordClose);
    value.remove_prefix(taken);
  }
  return out;
}

/// Plain ASCII folded at single blanks; nullopt when that cannot be done.
std::optional<std::string> folded(std::string_view value, std::size_t used) {
  if (!std::all_of(value.begin(), value.end(), is_printable)) return {};
  // Looks encoded, or has blanks that a reader of folded lines would not give back.
  if (value.find("=?") != value.npos || value.find("  ") != value.npos) return {};
  if (value.empty() || value.front() == ' ' || value.back() == ' ') return {};
  std::string out;
  std::size_t column = used;
  while (!value.empty()) {
    const auto word = value.substr(0, value.find(' '));
    const bool first = out.empty();
    if (!first && column + 1 + word.size() > kMaxLine) {
      out += "\r\n";
      column = 0;
    }
    if (column + 1 + word.size() > kMaxLine + (first ? 1 : 0)) return {};
    if (!first) out += ' ';
    out += word;
    column += word.size() + (first ? 0 : 1);
    value.remove_prefix(std::min(value.size(), word.size() + 1));
  }
  return out;
}

/// A display name as RFC 5322's phrase.
std::string phrase(std::string_view display, std::size_t used) {
  static constexpr std::string_view kSpecials = "()<>[]:;@\\,.\"";
  const bool plain = display.find_first_of(kSpecials) == display.npos;
  if (plain) {
    if (const auto words = folded(display, used)) return *words;
  }
  std::string quoted = "\"";
  for (const char c : display) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  quoted += '"';
  const bool ascii = std::all_of(display.begin(), display.end(), is_printable);
  if (ascii && used + quoted.size() <= kMaxLine && display.find("=?") == display.npos)
    return quoted;
  return encoded_words(display, used);
}

}  // namespace

bool holds_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = [&](std::size_t n) {
      return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0U;
    };
    if (byte(0) < ' ' || byte(0) == 0x7f) return true;
    // U+0080 to U+009F, one of which, U+0085, ends lines; U+2028 and U+2029.
    if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) < 0xa0) return true;
    if (byte(0) == 0xe2 && byte(1) == 0x80 && (byte(2) == 0xa8 || byte(2) == 0xa9)) return true;
  }
  return false;
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < left ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= left ? kAlphabet[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

std::string text_header(std::string_view name, std::string_view value) {
  check_value(name, value);
  if (value.size() > kMaxText) {
    throw PermanentError("bad_header",
                         fmt::format("The mail's {} would be {} bytes long, expected at most {}.",
                                     name, value.size(), kMaxText));
  }
  const std::size_t used = name.size() + 2;
  const auto plain = folded(value, used);
  return fmt::format("{}: {}\r\n", name, plain ? *plain : encoded_words(value, used));
}

std::string address_header(std::string_view name, std::string_view display,
                           std::string_view address) {
  check_value(name, display);
  check_value(name, address);
  if (display.empty()) return fmt::format("{}: <{}>\r\n", name, address);
  const std::string words = phrase(display, name.size() + 2);
  // Columns of the last line so far.
  const auto fold = words.rfind('\n');
  const std::size_t column =
      fold == words.npos ? name.size() + 2 + words.size() : words.size() - fold - 1;
  const bool fits = column + address.size() + 3 <= kMaxLine;
  return fmt::format("{}: {}{} <{}>\r\n", name, words, fits ? "" : "\r\n", address);
}

std::string plain_header(std::string_view name, std::string_view value) {
  check_value(name, value);
  return fmt::format("{}: {}\r\n", name, value);
}

}  // namespace rowcrew::email
