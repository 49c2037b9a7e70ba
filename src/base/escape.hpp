// Escaping of text for one line of log or message. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rowcrew {

/// Appends `text` as the inside of a JSON string: quotes, backslashes and everything that could
/// break or repaint a line (C0, DEL, C1, U+2028, U+2029) escaped, each invalid UTF-8 byte replaced
/// by U+FFFD.
void append_escaped(std::string& out, std::string_view text);

/// As append_escaped, but for quotes, which need no escape where no quote ends the text.
void append_prose(std::string& out, std::string_view text);

bool is_utf8(std::string_view text);

/// Not empty and readable without quotes: valid UTF-8 without blanks, quotes, '=', backslashes or
/// anything that append_escaped would change.
bool is_plain_word(std::string_view text);

/// At most `max` bytes of `text`, never ending inside a character.
std::string_view cut_utf8(std::string_view text, std::size_t max);

}  // namespace rowcrew
