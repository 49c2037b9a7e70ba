#include "command_args.hpp"

#include <fmt/format.h>

#include <rowcrew/entry_payload.hpp>

namespace rowcrew::command {
namespace {

std::map<std::string, std::string> checked_values(const EntryPayload& asked, const Entry& entry) {
  std::vector<std::string> names;
  for (const auto& [name, rule] : entry.args) names.push_back(name);
  auto values = asked.args(names);
  for (const auto& [name, rule] : entry.args) {
    if (rule.admits(values.at(name))) continue;
    asked.refuse(fmt::format("args.{} does not match what entry {} allows", name, entry.name));
  }
  return values;
}

}  // namespace

Call parse_call(const nlohmann::json& payload, std::string_view stored, const AllowList& allow) {
  const EntryPayload asked("command", payload, "input");
  const auto entry = allow.find(asked.entry());
  if (entry == allow.end()) asked.unknown_entry();
  const auto values = checked_values(asked, entry->second);
  std::vector<std::string> argv;
  for (const Template& element : entry->second.argv) argv.push_back(element.fill(values));
  return Call(entry->second, std::move(argv), asked.extra(entry->second.input, stored));
}

}  // namespace rowcrew::command
