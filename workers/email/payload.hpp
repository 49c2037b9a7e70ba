// The payload of an `email` job: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "address.hpp"

namespace rowcrew::email {

struct Order {
  Mailbox to;
  std::string template_name;
  nlohmann::json data = nlohmann::json::object();
  std::optional<std::string> account;
};

/// `payload` is an object: {"to", "template", "data"?, "account"?, "name"?}. Throws
/// PermanentError("bad_payload"), PermanentError("bad_address").
Order parse_order(const nlohmann::json& payload);

}  // namespace rowcrew::email
