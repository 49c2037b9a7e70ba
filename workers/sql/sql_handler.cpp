#include "sql_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include <rowcrew/deps.hpp>
#include <rowcrew/entry_payload.hpp>
#include <rowcrew/registry.hpp>

#include "sql/sql.hpp"

namespace rowcrew::sql_kind {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kCancelled = "57014";  // by statement_timeout, or by somebody's hand
/// raise_exception, no_data_found, too_many_rows: the function says so itself.
constexpr std::array kRaised = {"P0001"sv, "P0002"sv, "P0003"sv};

/// The entry that the payload names. Arguments stay in the database: their numbers keep every digit.
const Entry& entry_of(const nlohmann::json& payload, const AllowList& allow) {
  const EntryPayload named("sql", payload, "args");
  const auto entry = allow.find(named.entry());
  if (entry == allow.end()) named.unknown_entry();
  for (const auto& [key, value] : payload.items()) {
    if (key != "entry" && key != "args") {
      const std::string shown = nlohmann::json(key.substr(0, 64)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      named.refuse("unknown key " + shown + ", expected entry and args");
    }
    if (key == "args" && !value.is_object()) {
      named.refuse(fmt::format("args is of type {}, expected an object", value.type_name()));
    }
  }
  return entry->second;
}

}  // namespace

Outcome judge(const Entry& entry, const DbError& error) {
  const std::string text = fmt::format("entry {}: {}", entry.name, error.what());
  if (error.sqlstate() == kCancelled) return Retry("timeout", text);
  const bool raised = std::find(kRaised.begin(), kRaised.end(), error.sqlstate()) != kRaised.end();
  if (raised || error.error_class() == ErrorClass::permanent) return Failed(error.code(), text);
  return Retry(error.code(), text);
}

SqlHandler::SqlHandler(const Deps& deps) : db_(deps.db), allow_(read_allow_list(deps.kinds.section("sql"))) {
  for (const auto& [name, entry] : allow_) gathers_.emplace(name, std::make_unique<Gather>(entry, deps.clock));
}

boost::asio::awaitable<void> SqlHandler::prepare() {
  if (allow_.empty()) co_return;
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const auto& [name, entry] : allow_) {
    schemas.push_back(entry.function.schema);
    names.push_back(entry.function.name);
  }
  Params params;
  params.add_array(schemas).add_array(names);
  const Rows rows = co_await db_.query(sql::sql::functions, std::move(params));
  std::vector<FoundFunction> found;
  std::string role = "of the node";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    FoundFunction f;
    f.schema = rows.text(i, 0);
    f.name = rows.text(i, 1);
    f.arguments = rows.text(i, 2);
    f.result = rows.text(i, 3);
    f.plain = rows.boolean(i, 4);
    f.allowed = rows.boolean(i, 5);
    role = rows.text(i, 6);
    found.push_back(std::move(f));
  }
  for (auto& [name, entry] : allow_) entry.function = choose(entry, found, role);
}

boost::asio::awaitable<Outcome> SqlHandler::run(JobContext& context) {
  const nlohmann::json payload = context.payload();
  const Entry& entry = entry_of(payload, allow_);
  Gather& gather = *gathers_.find(entry.name)->second;
  std::optional<DbError> refused;
  try {
    co_return Outcome(co_await gather.run(context));
  } catch (const DbError& error) {
    refused = error;
  }
  co_return judge(entry, *refused);
}

}  // namespace rowcrew::sql_kind

namespace rowcrew {

void register_sql(Registry& registry, Deps& deps) {
  registry.add("sql", std::make_unique<sql_kind::SqlHandler>(deps));
}

}  // namespace rowcrew
