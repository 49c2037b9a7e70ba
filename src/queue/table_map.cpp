#include "queue/table_map.hpp"

#include <rowcrew/error.hpp>

#include "pg/statement_template.hpp"

namespace rowcrew {

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
      {"app", "q.app"},
      {"table_regclass", "'" + quote_qualified(kSchema, own) + "'"},
  };
  if (name == "job_queue") {
    map.values["job_type"] = "q.job_type";
    map.values["payload"] = "q.payload";
    map.values["limit_columns"] = "q.job_type, q.tenant, NULL, q.payload";
    map.values["result"] = "result";
    map.values["took"] = "";
  } else if (name == "processing_jobs") {
    map.values["job_type"] = "q.type";
    map.values["payload"] =
        "jsonb_build_object('type', q.type, 'provider', q.provider, 'external_id', q.external_id,"
        " 'prompt', q.prompt, 'inputs', q.inputs)";
    map.values["limit_columns"] = "q.type, q.tenant, q.provider, q.inputs";
    map.values["result"] = "outputs";
    map.values["took"] =
        ", processing_time_ms = least(extract(epoch FROM rowcrew.clock_now() - q.started_at) * 1000, 2147483647)::int";
  } else {
    throw BugError("table_map", "job table \"" + own + "\" has no column map");
  }
  return map;
}

}  // namespace rowcrew
