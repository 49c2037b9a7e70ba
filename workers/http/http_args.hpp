// The payload of an `http` job: pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "http_entry.hpp"

namespace rowcrew::http {

/// What one job asks for, with everything checked.
struct Call {
  Call(const Entry& which, std::string target, std::string text)
      : entry(&which), url(std::move(target)), body(std::move(text)) {}

  const Entry* entry;  ///< into the allow-list
  std::string url;
  std::string body;  ///< JSON text, or empty
};

/// `payload` is an object, and what `stored` holds: {"entry": "…", "args": {…}, "body": …}. Throws
/// PermanentError("unknown_entry"), PermanentError("bad_payload").
Call parse_call(const nlohmann::json& payload, std::string_view stored, const AllowList& allow);

}  // namespace rowcrew::http
