// What the client agrees to send: URL, method and headers, judged before anything is opened. Pure.
// No message repeats a URL or a header's value, as both may hold secrets.
#pragma once

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>
#include <string>
#include <string_view>

namespace rowcrew {

/// PermanentError("http_bad_url") that says why.
PermanentError bad_url(std::string_view why);

/// The host of an absolute http or https URL without user information. Judged by the parser that
/// will connect, so that no spelling means one host here and another there. Throws bad_url().
std::string checked_host(const std::string& text);

/// Throws PermanentError("http_bad_method").
void check_method(const HttpRequest& request);

/// Throws PermanentError("http_bad_header"): injected lines, and headers that frame or route the
/// message, which are the client's own.
void check_header(const std::string& name, const std::string& value);

}  // namespace rowcrew
