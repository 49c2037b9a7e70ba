// Header lines of a mail (RFC 5322, RFC 2047): pure.
#pragma once

#include <string>
#include <string_view>

namespace rowcrew::email {

/// Every line of a message is at most this long, without its line end.
inline constexpr std::size_t kMaxLine = 76;

/// Whether this UTF-8 has a control character or one that ends lines: C0, DEL, C1, U+2028, U+2029.
/// In a word of RFC 2047 they are harmless on their way, and a line end again for who decodes it.
bool holds_control(std::string_view text);

/// "<name>: <value>\r\n" for free text in UTF-8: folded when it is long, in RFC 2047 words (split
/// between code points) when it is not plain ASCII. Throws PermanentError("bad_header") naming the
/// header when the value holds a control character, a line end above all: it could begin a header
/// of its own. Or is longer than 2000 bytes.
std::string text_header(std::string_view name, std::string_view value);

/// The same for "Display Name <address>"; `display` may be empty.
std::string address_header(std::string_view name, std::string_view display,
                           std::string_view address);

/// The same for a value that is ASCII and cannot be split.
std::string plain_header(std::string_view name, std::string_view value);

std::string base64(std::string_view bytes);

}  // namespace rowcrew::email
