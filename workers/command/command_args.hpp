// The payload of a `command` job: pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "command_entry.hpp"

namespace rowcrew::command {

/// What one job asks for, with everything checked.
struct Call {
  Call(const Entry& which, std::vector<std::string> arguments, std::string text)
      : entry(&which), argv(std::move(arguments)), input(std::move(text)) {}

  const Entry* entry;  ///< into the allow-list
  std::vector<std::string> argv;
  std::string input;  ///< JSON text for stdin; empty unless the entry takes some
};

/// `payload` is an object, and what `stored` holds: {"entry": "…", "args": {…}, "input": …}. Throws
/// PermanentError("unknown_entry"), PermanentError("bad_payload").
Call parse_call(const nlohmann::json& payload, std::string_view stored, const AllowList& allow);

}  // namespace rowcrew::command
