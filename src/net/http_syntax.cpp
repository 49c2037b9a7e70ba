#include "net/http_syntax.hpp"

#include <algorithm>
#include <array>

namespace rowcrew {
namespace {

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_token_char(char c) {
  return is_alnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// -1 for anything but a hexadecimal digit.
int hex_digit(char c) {
  const char l = lower(c);
  if (l >= '0' && l <= '9') return l - '0';
  if (l >= 'a' && l <= 'f') return l - 'a' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

/// Drops "http://host" of the absolute form, which servers must accept.
std::string_view without_authority(std::string_view text) {
  for (const std::string_view scheme : std::array<std::string_view, 2>{"http://", "https://"}) {
    if (text.size() < scheme.size() || !equals_ignoring_case(text.substr(0, scheme.size()), scheme))
      continue;
    const auto rest = text.find_first_of("/?", scheme.size());
    return rest == std::string_view::npos ? std::string_view{} : text.substr(rest);
  }
  return text;
}

}  // namespace

bool is_header_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_header_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<RequestTarget> parse_request_target(std::string_view text) {
  if (text == "*") return RequestTarget{"*", ""};
  const auto local = without_authority(text);
  // "http://host" and "http://host?q" mean the root.
  const bool absolute = local.size() != text.size();
  if (local.find('#') != std::string_view::npos) return std::nullopt;
  const auto mark = local.find('?');
  auto raw = local.substr(0, mark);
  if (raw.empty() && absolute) raw = "/";
  if (!raw.starts_with('/')) return std::nullopt;
  auto path = percent_decode(raw);
  if (!path) return std::nullopt;
  return RequestTarget{*std::move(path),
                       mark == std::string_view::npos ? "" : std::string(local.substr(mark + 1))};
}

}  // namespace rowcrew
