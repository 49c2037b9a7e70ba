// The body of POST /v1/jobs as a value. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rowcrew {

struct JobRequest {
  std::string job_type;              ///< 1 to 100 visible ASCII characters
  std::string payload;               ///< JSON text of an object, byte for byte as it was sent
  std::optional<std::string> queue;  ///< [a-z0-9][a-z0-9_.-]{0,62}
  std::optional<int> priority;       ///< 0 (first) to 9
  std::optional<std::chrono::milliseconds> delay;  ///< "10m"; at most 3650 days
  std::optional<std::string> unique_key;  ///< 1 to 199 characters, none of them a control character
  std::optional<std::string> tenant;      ///< 1 to 100, likewise
};

/// Unknown and repeated fields are errors; null counts as absent where a field is optional.
/// Throws Refused 400, one sentence that starts with the field ("body" for what is no JSON object).
JobRequest parse_job_request(std::string_view body);

}  // namespace rowcrew
