// What `rowcrew bench` asks its database beside the jobs themselves. Blocking; throws DbError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pg/blocking_connection.hpp"
#include "pg/statement_template.hpp"

namespace rowcrew::bench {

/// Counters that only grow, of everybody who uses the server (WAL) or the database (statements).
struct ServerCost {
  std::int64_t wal_bytes = 0;
  std::optional<std::int64_t> statements;  ///< without ours; unset where pg_stat_statements is not
};

struct EndedJobs {
  std::int64_t completed = 0;
  std::int64_t others = 0;
};

class BenchDatabase {
 public:
  explicit BenchDatabase(PoolOptions connection);

  /// Jobs that are not of `rowcrew bench`.
  bool holds_other_jobs();
  /// Deletes every trace of a run, also of one that was killed.
  void forget();
  void make_bare_table();

  ServerCost cost();
  bool unfinished(const std::string& node);
  EndedJobs ended();

 private:
  Rows ask(const Statement& statement, const Params& params = {});

  BlockingConnection connection_;
  std::int64_t asked_ = 0;  ///< our own statements, which are no cost of the run
  std::optional<StatementSet> statements_;
};

}  // namespace rowcrew::bench
