// A mail as bytes: pure, so that every attempt at one mail sends the same ones.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "address.hpp"

namespace rowcrew::email {

/// What a mail says, once its templates are filled.
struct Content {
  std::string subject;
  std::string text;
  std::string html;
};

struct Letter {
  Mailbox from;
  Mailbox to;
  Content content;         ///< UTF-8; any kind of line end
  std::string message_id;  ///< "unique@domain", without angle brackets
  std::chrono::sys_seconds date;
};

/// RFC 5322 with a multipart/alternative body: 7 bit, lines of at most 76 columns (a long address
/// excepted) that end in CR LF. Throws PermanentError("bad_header") when subject or names hold a
/// control character.
std::string build_message(const Letter& letter);

/// RFC 2045, section 6.7, with CR LF at every line end of the text and at its end. A dot that
/// begins a line is encoded, too: no relay can mistake it for the end of the mail.
std::string quoted_printable(std::string_view text);

/// "Thu, 01 Jan 2026 00:00:00 +0000", whatever the locale.
std::string mail_date(std::chrono::sys_seconds when);

}  // namespace rowcrew::email
