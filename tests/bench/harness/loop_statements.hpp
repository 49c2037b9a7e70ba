// The two statements of a drain as rowcrew-bench-loop runs them: sql/queries/claim.sql and
// finish_completed.sql, rendered for job_queue, with parameters and columns in their order. Whoever
// changes those of a statement changes them here and in queue/job_table.cpp.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <rowcrew/db.hpp>

#include "pg/statement_template.hpp"
#include "queue/table_map.hpp"
#include "sql_queries.hpp"

namespace rowcrew::bench {

class LoopStatements {
 public:
  std::string claim() { return std::string(set_.render(sql::claim).text); }
  std::string finish() { return std::string(set_.render(sql::finish_completed).text); }

  /// Columns of a claimed row; a row whose id is null tells of stale hints and is no job.
  enum Column { kId = 0, kPayload = 3, kRunAtUs = 7, kPriority = 8 };
  static constexpr const char* kQueue = "default";

  /// `marks`: ten, see queue/watermarks.hpp.
  static Params claim_params(std::int64_t token, std::int64_t batch, const std::vector<std::string>& marks) {
    const std::vector<std::string> queues{kQueue};
    const std::vector<std::int64_t> counts{batch};
    return Params{}.add(token).add(kNode).add(kEpoch).add_array(queues).add_array(counts).add_array(marks);
  }
  /// A whole batch, which takes its claim row along. Sorts `ids`, as the statement wants them.
  static Params finish_params(std::int64_t token, std::vector<std::string>& ids) {
    std::sort(ids.begin(), ids.end());
    const std::vector<std::int64_t> tokens(ids.size(), token);
    const std::vector<std::optional<std::string>> results(ids.size());
    const std::vector<std::int64_t> drop{token};
    return Params{}.add_array(ids).add_array(tokens).add_array(results).add_array(drop);
  }

 private:
  /// Nobody's: no node runs beside the loop, so nobody reaps its claims.
  static constexpr std::int64_t kNode = 0;
  static constexpr std::int64_t kEpoch = 0;

  StatementSet set_{table_map("job_queue").values, ""};
};

}  // namespace rowcrew::bench
