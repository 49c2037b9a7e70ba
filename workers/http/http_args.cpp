#include "http_args.hpp"

#include <rowcrew/entry_payload.hpp>

namespace rowcrew::http {

Call parse_call(const nlohmann::json& payload, std::string_view stored, const AllowList& allow) {
  const EntryPayload asked("http", payload, "body");
  const auto found = allow.find(asked.entry());
  if (found == allow.end()) asked.unknown_entry();
  const Entry& entry = found->second;
  return Call(entry, entry.url.fill(asked.args(entry.url.names())), asked.extra(entry.json_body, stored));
}

}  // namespace rowcrew::http
