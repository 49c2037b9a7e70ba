#include "payload.hpp"

#include <fmt/format.h>

#include <rowcrew/error.hpp>

namespace rowcrew::email {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxAccount = 300;

[[noreturn]] void refuse(const std::string& sentence) {
  throw PermanentError("bad_payload", "email payload: " + sentence);
}

/// Null counts as left out.
std::optional<std::string> text_of(const json& payload, const char* key) {
  const auto found = payload.find(key);
  if (found == payload.end() || found->is_null()) return {};
  if (!found->is_string()) {
    refuse(fmt::format("{} is of type {}, expected a string", key, found->type_name()));
  }
  return found->get<std::string>();
}

std::string required_text(const json& payload, const char* key) {
  auto text = text_of(payload, key);
  if (!text) refuse(fmt::format("expected \"{}\", a string", key));
  return std::move(*text);
}

void check_keys(const json& payload) {
  for (const auto& [key, value] : payload.items()) {
    if (key == "to" || key == "template" || key == "data" || key == "account" || key == "name") {
      continue;
    }
    const std::string shown =
        json(key.substr(0, 64)).dump(-1, ' ', true, json::error_handler_t::replace);
    refuse(fmt::format("unknown key {}, expected to, template, data, account and name", shown));
  }
}

}  // namespace

Order parse_order(const json& payload) {
  check_keys(payload);
  Order order;
  order.to.address = required_text(payload, "to");
  check_address(order.to.address);
  order.to.name = text_of(payload, "name").value_or("");
  check_display_name(order.to.name);
  order.template_name = required_text(payload, "template");
  if (const auto data = payload.find("data"); data != payload.end() && !data->is_null()) {
    if (!data->is_object()) {
      refuse(fmt::format("data is of type {}, expected an object", data->type_name()));
    }
    order.data = *data;
  }
  order.account = text_of(payload, "account");
  if (order.account && (order.account->empty() || order.account->size() > kMaxAccount)) {
    refuse("account is empty or longer than 300 bytes");
  }
  return order;
}

}  // namespace rowcrew::email
