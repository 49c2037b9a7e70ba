#include "net/mail_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <rowcrew/error.hpp>
#include <string_view>

namespace rowcrew {
namespace {

constexpr std::size_t kMaxAddress = 254;  // RFC 5321: a path of 256 octets, without its brackets
constexpr std::size_t kMaxKey = 200;      // leaves room for what Maildir readers append

bool is_address_byte(char c) {
  return c > ' ' && c < '\x7f' && c != '<' && c != '>' && c != '"';
}

void check_address(std::string_view address, std::string_view role) {
  const auto at = address.rfind('@');
  const bool shaped = at != address.npos && at > 0 && at + 1 < address.size();
  if (shaped && address.size() <= kMaxAddress &&
      std::all_of(address.begin(), address.end(), is_address_byte)) {
    return;
  }
  // Not quoted: what is wrong with it may be a line end.
  throw PermanentError("mail_address",
                       fmt::format("mail: the {}'s address cannot be used, expected name@domain of "
                                   "visible ASCII characters",
                                   role));
}

bool is_key(std::string_view key) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !key.empty() && key.size() <= kMaxKey && key.front() != '.' &&
         key.find_first_not_of(kAllowed) == key.npos;
}

bool is_wire_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) return false;
    if (c == '\n' && (i == 0 || text[i - 1] != '\r')) return false;
    if (c == '\0' || static_cast<unsigned char>(c) > 0x7f) return false;
  }
  return text.ends_with("\r\n");
}

}  // namespace

void check_mail(const Mail& mail) {
  check_address(mail.sender, "sender");
  check_address(mail.recipient, "recipient");
  if (!is_key(mail.key)) {
    throw BugError("mail_key", "mail: the key is no file name of letters, digits, -, _ and .");
  }
  if (!is_wire_text(mail.message)) {
    throw BugError("mail_message", "mail: the message is not 7 bit with CR LF at every line's end");
  }
}

}  // namespace rowcrew
