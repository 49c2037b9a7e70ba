// How a job table's own names fit the statement templates of sql/queries.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace rowcrew {

struct TableMap {
  std::string name;  ///< "job_queue"
  /// Placeholder -> SQL text, for StatementSet.
  std::map<std::string, std::string, std::less<>> values;
  /// The table is an application's: statements of sql/queries/adopted go before those of the same name.
  bool adopted = false;
  std::int64_t epoch = 0;  ///< of an adopted table's values
};

/// The two tables of ours. Throws BugError for any other name.
TableMap table_map(std::string_view name);

/// A table of rowcrew.adopted_table: `values` is its template there, a JSON object of texts. Throws
/// BugError for anything else.
TableMap adopted_table_map(std::string_view name, std::int64_t epoch, std::string_view values);

class StatementSet;
/// From now on these are the statements of that table.
void describe_statements(StatementSet& statements, TableMap map);

}  // namespace rowcrew
