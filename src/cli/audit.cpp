#include "cli/audit.hpp"

#include <pwd.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

std::string os_user() {
  const passwd* const entry = ::getpwuid(::getuid());
  return entry == nullptr ? std::to_string(::getuid()) : std::string(entry->pw_name);
}

std::string host() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

void audit(Tx& tx, std::string_view action, std::string_view target, nlohmann::json metadata) {
  metadata["os_user"] = os_user();
  metadata["host"] = host();
  const std::string text = metadata.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  tx.exec(sql::cli_audit, Params{}.add(action).add(target).add(text));
}

}  // namespace rowcrew::cli
