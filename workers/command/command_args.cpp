#include "command_args.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

namespace rowcrew::command {
namespace {

using nlohmann::json;

constexpr std::size_t kShown = 64;

// As a stranger wrote it: cut and escaped, for an error message.
std::string shown(const std::string& text) {
  return json(text.substr(0, kShown)).dump(-1, ' ', true, json::error_handler_t::replace);
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw PermanentError("bad_payload", "command payload: " + sentence);
}

const Entry& find_entry(const json& payload, const AllowList& allow) {
  const auto name = payload.find("entry");
  if (name == payload.end() || !name->is_string()) refuse("expected \"entry\", a string");
  const auto& text = name->get_ref<const std::string&>();
  const auto entry = allow.find(text);
  if (entry == allow.end()) {
    throw PermanentError(
        "unknown_entry",
        fmt::format("command payload: entry {} is not in kinds.command.allow", shown(text)));
  }
  return entry->second;
}

std::string text_of(const std::string& name, const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  refuse(fmt::format("args.{} is of type {}, expected a string or a whole number", name,
                     value.type_name()));
}

std::map<std::string, std::string> parse_values(const Entry& entry, const json& payload) {
  static const json kNone = json::object();
  const auto found = payload.find("args");
  const json& args = found == payload.end() ? kNone : *found;
  if (!args.is_object()) {
    refuse(fmt::format("args is of type {}, expected an object", args.type_name()));
  }
  for (const auto& [name, value] : args.items()) {
    if (!entry.args.contains(name)) {
      refuse(fmt::format("entry {} takes no argument {}", entry.name, shown(name)));
    }
  }
  std::map<std::string, std::string> values;
  for (const auto& [name, rule] : entry.args) {
    const auto value = args.find(name);
    if (value == args.end()) refuse(fmt::format("entry {} needs args.{}", entry.name, name));
    std::string text = text_of(name, *value);
    if (!rule.admits(text)) {
      refuse(fmt::format("args.{} does not match what entry {} allows", name, entry.name));
    }
    values.emplace(name, std::move(text));
  }
  return values;
}

std::string parse_input(const Entry& entry, const json& payload) {
  const auto input = payload.find("input");
  if (entry.input != (input != payload.end())) {
    refuse(fmt::format("entry {} {}", entry.name,
                       entry.input ? "needs \"input\"" : "takes no \"input\""));
  }
  return entry.input ? input->dump(-1, ' ', false, json::error_handler_t::replace) : std::string();
}

}  // namespace

Call parse_call(const json& payload, const AllowList& allow) {
  const Entry& entry = find_entry(payload, allow);
  for (const auto& [key, value] : payload.items()) {
    if (key != "entry" && key != "args" && key != "input") {
      refuse(fmt::format("unknown key {}, expected entry, args and input", shown(key)));
    }
  }
  const auto values = parse_values(entry, payload);
  std::vector<std::string> argv;
  for (const Template& element : entry.argv) argv.push_back(element.fill(values));
  return Call(entry, std::move(argv), parse_input(entry, payload));
}

}  // namespace rowcrew::command
