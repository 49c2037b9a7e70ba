// The small grammars of HTTP (RFC 9110, RFC 9112) that both the client and the server judge by.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rowcrew {

/// A header name: one or more token characters.
bool is_header_name(std::string_view text);
/// A header value: no control bytes but the tab, so that no line can be injected.
bool is_header_value(std::string_view text);
/// ASCII letters compared without case.
bool equals_ignoring_case(std::string_view a, std::string_view b);
/// Without blanks and tabs at both ends.
std::string_view trim_blanks(std::string_view text);

struct RequestTarget {
  std::string path;   ///< percent-decoded; begins with '/', or is "*"
  std::string query;  ///< raw, without '?'
};
/// Splits what stands in a request line: "/path?query", "http://host/path?query" or "*". Nullopt
/// for anything else, for a broken percent escape, an escaped NUL or a fragment.
std::optional<RequestTarget> parse_request_target(std::string_view text);

}  // namespace rowcrew
