// API keys of POST /v1/jobs. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/random.hpp>

namespace rowcrew::cli {

/// "rc_" and 43 characters of base64url: 256 bits of `random`. The prefix lets scanners of leaked
/// secrets recognise one.
std::string make_api_key(Random& random);

/// "mail.send, report" -> both. Throws UsageError unless there is at least one, each of 1 to 100
/// visible ASCII characters ("*": every type that does not reach into machine or network).
std::vector<std::string> parse_job_types(std::string_view list);

}  // namespace rowcrew::cli
