// How a job table's own names fit the statement templates of sql/queries.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace rowcrew {

struct TableMap {
  std::string name;  ///< "job_queue"
  /// Placeholder -> SQL text, for StatementSet.
  std::map<std::string, std::string, std::less<>> values;
};

/// The two tables of ours. Throws BugError for any other name.
TableMap table_map(std::string_view name);

}  // namespace rowcrew
