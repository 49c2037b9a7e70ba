// When a server says to come back: pure.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <rowcrew/http_client.hpp>

namespace rowcrew {

/// "Sun, 06 Nov 1994 08:49:37 GMT", the only form that servers may send today.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

/// The wait that the Retry-After header asks for, at most `longest`. A date counts from the Date
/// header of the same answer, so that no clock of ours takes part; without that from `now`. Nullopt
/// when there is none, it cannot be read, or it lies in the past: the retry policy decides.
std::optional<std::chrono::milliseconds> retry_after(
    const HttpHeaders& headers, std::chrono::system_clock::time_point now,
    std::chrono::seconds longest = std::chrono::hours(1));

}  // namespace rowcrew
