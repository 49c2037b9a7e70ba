#include "address.hpp"

#include <algorithm>

#include <rowcrew/error.hpp>

#include "header_text.hpp"

namespace rowcrew::email {
namespace {

constexpr std::size_t kMaxLocal = 64;
constexpr std::size_t kMaxDomain = 253;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxName = 200;

// The address itself stands in no sentence: it belongs to a person, and the ledger has it anyway.
[[noreturn]] void refuse(const std::string& sentence) {
  throw PermanentError("bad_address", sentence);
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}
bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_atext(char c) {
  static constexpr std::string_view kPunctuation = "!#$%&'*+/=?^_`{|}~-";
  return is_alnum(c) || kPunctuation.find(c) != kPunctuation.npos;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' &&
         label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_dot_atom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  if (text.find("..") != text.npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_atext(c) || c == '.'; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

bool is_domain(std::string_view text) {
  if (text.size() > kMaxDomain) return false;
  int labels = 0;
  for (;;) {
    const auto dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    ++labels;
    if (dot == text.npos) return labels > 1;
    text.remove_prefix(dot + 1);
  }
}

void check_address(std::string_view text) {
  if (text.empty()) refuse("The mail address is empty.");
  if (holds_control(text)) {
    refuse("The mail address holds a line end or another control character.");
  }
  const auto at = text.find('@');
  if (at == text.npos) refuse("The mail address has no \"@\", expected name@domain.");
  if (text.find('@', at + 1) != text.npos) {
    refuse("The mail address has more than one \"@\", expected name@domain.");
  }
  const auto local = text.substr(0, at);
  const auto domain = text.substr(at + 1);
  if (!std::all_of(local.begin(), local.end(), is_ascii)) {
    refuse(
        "The mail address has a letter outside a-z before the \"@\", which few mail servers take.");
  }
  if (!std::all_of(domain.begin(), domain.end(), is_ascii)) {
    refuse(
        "The mail address has a letter outside a-z behind the \"@\": write the domain in its ASCII "
        "form (xn--…).");
  }
  if (local.size() > kMaxLocal || !is_dot_atom(local)) {
    refuse("The part before the \"@\" of the mail address is not one that mail servers take.");
  }
  if (!is_domain(domain)) {
    refuse("The part behind the \"@\" of the mail address is no domain such as example.com.");
  }
}

void check_display_name(std::string_view name) {
  if (holds_control(name)) {
    refuse("The recipient's name holds a line end or another control character.");
  }
  if (name.size() > kMaxName) refuse("The recipient's name is longer than 200 bytes.");
}

Mailbox parse_mailbox(std::string_view text) {
  Mailbox mailbox;
  text = trim(text);
  const auto open = text.find('<');
  if (open == text.npos) {
    mailbox.address = text;
  } else {
    if (text.back() != '>')
      refuse("The mail address does not end in \">\", expected Name <name@domain>.");
    mailbox.address = text.substr(open + 1, text.size() - open - 2);
    auto name = trim(text.substr(0, open));
    if (name.size() >= 2 && name.front() == '"' && name.back() == '"') {
      name = name.substr(1, name.size() - 2);
    }
    mailbox.name = name;
  }
  check_address(mailbox.address);
  check_display_name(mailbox.name);
  return mailbox;
}

}  // namespace rowcrew::email
