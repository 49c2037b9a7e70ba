#include "ingest/json_scan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

class Scanner {
 public:
  Scanner(std::string_view text, JsonLimits limits) : text_(text), limits_(limits) {}

  std::vector<JsonMember> outermost() {
    std::vector<JsonMember> members;
    skip_blanks();
    if (peek() != '{') fail("an object");
    object(1, &members);
    skip_blanks();
    if (at_ != text_.size()) fail("the end of the text");
    return members;
  }

 private:
  static constexpr int kEnd = -1;

  int peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : kEnd; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  std::string found() const {
    const int c = peek();
    if (c == kEnd) return "the end";
    if (c > 0x20 && c < 0x7f && c != '"') return fmt::format("'{}'", static_cast<char>(c));
    return c == '"' ? "a quote" : fmt::format("byte 0x{:02x}", c);
  }
  [[noreturn]] void fail(std::string_view expected) const {
    refuse(fmt::format("found {}, expected {}", found(), expected));
  }
  [[noreturn]] void refuse(std::string_view complaint) const {
    throw PermanentError("bad_json", fmt::format("byte {}: {}", at_, complaint));
  }

  void value(unsigned depth);
  void object(unsigned depth, std::vector<JsonMember>* members);
  void array(unsigned depth);
  void check_depth(unsigned depth) const;
  void word(std::string_view expected);

  void string();
  void escape();
  unsigned four_digits();
  void utf8_character();

  void number();
  void digits();
  void exponent();

  std::string_view text_;
  JsonLimits limits_;
  std::size_t at_ = 0;
  std::size_t exponents_ = 0;
};

void Scanner::value(unsigned depth) {
  const int c = peek();
  if (c == '{') return object(depth, nullptr);
  if (c == '[') return array(depth);
  if (c == '"') return string();
  if (c == '-' || is_digit(c)) return number();
  if (c == 't') return word("true");
  if (c == 'f') return word("false");
  if (c == 'n') return word("null");
  fail("a value");
}

void Scanner::check_depth(unsigned depth) const {
  if (depth <= limits_.depth) return;
  refuse(fmt::format("nested more than {} deep, counting this object", limits_.depth));
}

void Scanner::object(unsigned depth, std::vector<JsonMember>* members) {
  check_depth(depth);
  take('{');
  skip_blanks();
  if (take('}')) return;
  do {
    skip_blanks();
    if (peek() != '"') fail("a name in quotes");
    const std::size_t name = at_;
    string();
    const std::size_t name_end = at_;
    skip_blanks();
    if (!take(':')) fail("a colon");
    skip_blanks();
    const std::size_t start = at_;
    value(depth + 1);
    if (members != nullptr) {
      members->push_back({decode_json_string(text_.substr(name, name_end - name)),
                          text_.substr(start, at_ - start)});
    }
    skip_blanks();
  } while (take(','));
  if (!take('}')) fail("a comma or }");
}

void Scanner::array(unsigned depth) {
  check_depth(depth);
  take('[');
  skip_blanks();
  if (take(']')) return;
  do {
    skip_blanks();
    value(depth + 1);
    skip_blanks();
  } while (take(','));
  if (!take(']')) fail("a comma or ]");
}

void Scanner::word(std::string_view expected) {
  if (text_.substr(at_, expected.size()) != expected) fail("a value");
  at_ += expected.size();
}

void Scanner::string() {
  take('"');
  for (;;) {
    const int c = peek();
    if (c == kEnd || c < 0x20) fail("a closing quote");
    if (c >= 0x80) {
      utf8_character();
      continue;
    }
    ++at_;
    if (c == '"') return;
    if (c == '\\') escape();
  }
}

void Scanner::escape() {
  const int c = peek();
  if (c == kEnd || std::string_view("\"\\/bfnrtu").find(static_cast<char>(c)) == text_.npos) {
    fail("a JSON escape");
  }
  ++at_;
  if (c != 'u') return;
  const unsigned code = four_digits();
  if (code == 0) refuse("\\u0000, which the database cannot hold");
  if (code >= 0xdc00 && code <= 0xdfff) refuse("the second half of a surrogate pair, alone");
  if (code < 0xd800 || code > 0xdbff) return;
  const bool goes_on = take('\\') && take('u');
  const unsigned second = goes_on ? four_digits() : 0;
  if (second < 0xdc00 || second > 0xdfff) refuse("the first half of a surrogate pair, alone");
}

unsigned Scanner::four_digits() {
  unsigned code = 0;
  for (int i = 0; i < 4; ++i) {
    const int c = peek();
    const int letter = c | 0x20;
    if (is_digit(c)) {
      code = code * 16 + static_cast<unsigned>(c - '0');
    } else if (c != kEnd && letter >= 'a' && letter <= 'f') {
      code = code * 16 + static_cast<unsigned>(letter - 'a') + 10;
    } else {
      fail("four hexadecimal digits");
    }
    ++at_;
  }
  return code;
}

/// The well-formed sequences of RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
void Scanner::utf8_character() {
  const int first = peek();
  int more = 0;
  int low = 0x80;
  int high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) more = 1;
  if (first >= 0xe0 && first <= 0xef) more = 2;
  if (first >= 0xf0 && first <= 0xf4) more = 3;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  if (more == 0) fail("UTF-8");
  ++at_;
  for (; more > 0; --more) {
    const int c = peek();
    if (c < low || c > high) fail("UTF-8");
    ++at_;
    low = 0x80;
    high = 0xbf;
  }
}

void Scanner::number() {
  take('-');
  if (!take('0')) digits();
  if (take('.')) digits();
  if (peek() == 'e' || peek() == 'E') exponent();
}

void Scanner::digits() {
  if (!is_digit(peek())) fail("a digit");
  while (is_digit(peek())) ++at_;
}

void Scanner::exponent() {
  ++at_;
  if (!take('+')) take('-');
  const std::size_t start = at_;
  digits();
  constexpr std::size_t kPlenty = std::numeric_limits<std::size_t>::max() / 16;
  std::size_t value = 0;
  for (const char c : text_.substr(start, at_ - start)) {
    value = std::min(value * 10 + static_cast<std::size_t>(c - '0'), kPlenty);
  }
  exponents_ = std::min(exponents_ + value, kPlenty);
  if (exponents_ > limits_.exponents) {
    refuse(fmt::format("the exponents add up to more than {}", limits_.exponents));
  }
}

}  // namespace

std::vector<JsonMember> scan_json_object(std::string_view text, JsonLimits limits) {
  return Scanner(text, limits).outermost();
}

JsonKind json_kind(std::string_view value) {
  switch (value.empty() ? '\0' : value.front()) {
    case '{':
      return JsonKind::object;
    case '[':
      return JsonKind::array;
    case '"':
      return JsonKind::string;
    case 't':
    case 'f':
      return JsonKind::boolean;
    case 'n':
      return JsonKind::null;
    default:
      return JsonKind::number;
  }
}

std::string_view json_kind_name(JsonKind kind) {
  switch (kind) {
    case JsonKind::object:
      return "an object";
    case JsonKind::array:
      return "an array";
    case JsonKind::string:
      return "a text";
    case JsonKind::number:
      return "a number";
    case JsonKind::boolean:
      return "true or false";
    case JsonKind::null:
      return "null";
  }
  return "something else";
}

std::string decode_json_string(std::string_view literal) {
  return nlohmann::json::parse(literal).get<std::string>();
}

}  // namespace rowcrew
