// What callers of HttpClient ask of an answer, or of its absence: pure.
#pragma once

#include <string_view>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>

namespace rowcrew {

/// The first header of this name, in whatever case; empty where there is none. A view into `headers`.
std::string_view header_of(const HttpHeaders& headers, std::string_view name);

/// Whether an error of HttpClient::send() says that nothing of the request reached the other side, so that to
/// repeat it does nothing twice. After any other (http_timeout, http_transfer, http_body_too_large, http_disk)
/// it may have been processed.
bool is_unsent(const Error& error);

}  // namespace rowcrew
