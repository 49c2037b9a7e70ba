#include "queue/table_map.hpp"

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "pg/statement_template.hpp"
#include "sql_queries.hpp"

namespace rowcrew {

// "carried": the payload, unless it is larger than what 500 of one claim may weigh each; see
// JobTable::payload(). Adopted tables and claims by a function say the same in 0015 and 0017.
TableMap table_map(std::string_view name) {
  constexpr std::string_view kSchema = "rowcrew";
  const std::string own(name);
  TableMap map;
  map.name = own;
  map.values = {
      {"table", quote_qualified(kSchema, own)},
      {"ready", quote_qualified(kSchema, own + "_ready")},
      {"parked", quote_qualified(kSchema, own + "_parked")},
      {"claim", quote_qualified(kSchema, own + "_claim")},
      {"limited", quote_qualified(kSchema, own + "_limited")},
      {"take", quote_qualified(kSchema, own + "_take")},
      {"table_name", "'" + own + "'"},
      {"key_type", "uuid"},
      {"of_queue", "true"},
      {"app", "q.app"},
      {"table_regclass", "'" + quote_qualified(kSchema, own) + "'"},
  };
  if (name == "job_queue") {
    map.values["job_type"] = "q.job_type";
    map.values["payload"] = "q.payload";
    map.values["carried"] = "CASE WHEN rowcrew.is_carried(q.payload) THEN q.payload END";
    map.values["limit_columns"] = "q.job_type, q.tenant, NULL, q.payload";
    map.values["result"] = "result";
    map.values["took"] = "";
  } else if (name == "processing_jobs") {
    map.values["job_type"] = "q.type";
    map.values["payload"] =
        "jsonb_build_object('type', q.type, 'provider', q.provider, 'external_id', q.external_id,"
        " 'prompt', q.prompt, 'inputs', q.inputs)";
    map.values["carried"] =
        "CASE WHEN rowcrew.is_carried(q.inputs) AND coalesce(octet_length(q.prompt), 0) <= 32768 THEN " + map.values["payload"] + " END";
    map.values["limit_columns"] = "q.type, q.tenant, q.provider, q.inputs";
    map.values["result"] = "outputs";
    map.values["took"] =
        ", processing_time_ms = least(extract(epoch FROM rowcrew.clock_now() - q.started_at) * 1000, 2147483647)::int";
  } else {
    throw BugError("table_map", "job table \"" + own + "\" has no column map");
  }
  return map;
}

TableMap adopted_table_map(std::string_view name, std::int64_t epoch, std::string_view values) {
  TableMap map;
  map.name = name;
  map.adopted = true;
  map.epoch = epoch;
  const nlohmann::json parsed = nlohmann::json::parse(values, nullptr, false);
  if (!parsed.is_object()) throw BugError("table_map", "adopted table \"" + map.name + "\": its template is no object");
  for (const auto& [key, value] : parsed.items()) {
    if (!value.is_string()) throw BugError("table_map", "adopted table \"" + map.name + "\": \"" + key + "\" is no text");
    map.values[key] = value.get<std::string>();
  }
  return map;
}

void describe_statements(StatementSet& statements, TableMap map) {
  std::map<std::string_view, Statement, std::less<>> instead;
  constexpr std::string_view kFolder = "adopted/";
  for (const Statement& source : sql::kAll) {
    if (map.adopted && source.name.starts_with(kFolder)) instead.emplace(source.name.substr(kFolder.size()), source);
  }
  std::string suffix = map.adopted ? map.name + "@" + std::to_string(map.epoch) : map.name;
  statements.replace(std::move(map.values), std::move(suffix), std::move(instead));
}

}  // namespace rowcrew
