// Which mail addresses are taken: pure. Narrower than RFC 5321 on purpose: what people really have.
#pragma once

#include <string>
#include <string_view>

namespace rowcrew::email {

/// Returns when `text` is name@domain: one "@", a name of ASCII letters, digits, single dots and
/// !#$%&'*+/=?^_`{|}~- up to 64, a domain of two labels or more. Throws
/// PermanentError("bad_address") with a sentence that says what is wrong.
void check_address(std::string_view text);

/// Two labels or more of ASCII letters, digits and inner "-", each up to 63, 253 in all.
bool is_domain(std::string_view text);

/// Throws PermanentError("bad_address") for a control character or more than 200 bytes.
void check_display_name(std::string_view name);

struct Mailbox {
  std::string name;  ///< UTF-8, may be empty
  std::string address;
};

/// "a@b.example", "Name <a@b.example>" or "\"Name\" <a@b.example>". Throws
/// PermanentError("bad_address").
Mailbox parse_mailbox(std::string_view text);

}  // namespace rowcrew::email
