#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/entry_payload.hpp>
#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

using nlohmann::json;

constexpr std::size_t kShown = 64;

// As a stranger wrote it: cut and escaped, for an error message.
std::string shown(const std::string& text) {
  return json(text.substr(0, kShown)).dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace

EntryPayload::EntryPayload(std::string_view kind, const json& payload, std::string_view extra)
    : kind_(kind), payload_(payload), extra_(extra), entry_(nullptr) {
  const auto name = payload_.find("entry");
  if (name == payload_.end() || !name->is_string()) refuse("expected \"entry\", a string");
  entry_ = &name->get_ref<const std::string&>();
}

void EntryPayload::refuse(const std::string& sentence) const {
  throw PermanentError("bad_payload", kind_ + " payload: " + sentence);
}

void EntryPayload::unknown_entry() const {
  throw PermanentError("unknown_entry", fmt::format("{0} payload: entry {1} is not in kinds.{0}.allow",
                                                    kind_, shown(*entry_)));
}

std::map<std::string, std::string> EntryPayload::args(const std::vector<std::string>& names) const {
  for (const auto& [key, value] : payload_.items()) {
    if (key != "entry" && key != "args" && key != extra_) {
      refuse(fmt::format("unknown key {}, expected entry, args and {}", shown(key), extra_));
    }
  }
  static const json kNone = json::object();
  const auto found = payload_.find("args");
  const json& given = found == payload_.end() ? kNone : *found;
  if (!given.is_object()) {
    refuse(fmt::format("args is of type {}, expected an object", given.type_name()));
  }
  for (const auto& [name, value] : given.items()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      refuse(fmt::format("entry {} takes no argument {}", *entry_, shown(name)));
    }
  }
  std::map<std::string, std::string> values;
  for (const std::string& name : names) {
    const auto value = given.find(name);
    if (value == given.end()) refuse(fmt::format("entry {} needs args.{}", *entry_, name));
    if (!value->is_string() && !value->is_number_integer()) {
      refuse(fmt::format("args.{} is of type {}, expected a string or a whole number", name,
                         value->type_name()));
    }
    values.emplace(name, value->is_string() ? value->get<std::string>() : value->dump());
  }
  return values;
}

std::string EntryPayload::extra(bool taken) const {
  const auto found = payload_.find(extra_);
  if (taken != (found != payload_.end())) {
    refuse(fmt::format("entry {} {} \"{}\"", *entry_, taken ? "needs" : "takes no", extra_));
  }
  return taken ? found->dump(-1, ' ', false, json::error_handler_t::replace) : std::string();
}

}  // namespace rowcrew
