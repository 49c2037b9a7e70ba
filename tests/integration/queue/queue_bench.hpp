// A migrated database with one job table under test, driven through JobTable as a node does it, and
// looked at by plain SQL. Tests of a program use one database after another, emptied in between;
// one that was changed by ddl() is not used again.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/db_error.hpp>

#include "pg/pool.hpp"
#include "queue/job_table.hpp"
#include "queue/table_map.hpp"
#include "support/db/temp_database.hpp"
#include "support/ended_jobs.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

using Ids = std::vector<std::string>;

/// Both job tables: what holds for one must hold for the other.
inline constexpr const char* kJobTables[] = {"job_queue", "processing_jobs"};

class QueueBench {
 private:
  std::unique_ptr<TempDatabase> owned_;

 public:
  enum class Database {
    emptied,
    fresh,  ///< that nobody has ever written to: for plans
  };
  explicit QueueBench(const std::string& table = "job_queue", unsigned threads = 2,
                      Database database = Database::emptied);
  ~QueueBench();

  /// `sql` with {t}, {ready}, {parked}, {claim}, {limited} replaced by the names of the table under test, and
  /// {type} by its column of the job type.
  std::string named(std::string_view sql) const;
  Rows query(std::string_view sql, const Params& params = {});
  void exec(std::string_view sql) { query(sql); }
  /// From now on the table under test is one of an application, with columns as job_queue has them, and adopted.
  void adopt_like_job_queue();
  TableMap adopted_map();
  /// Several statements on a connection of their own; they may change the schema.
  void ddl(const std::string& sql);
  std::string value(std::string_view sql, const Params& params = {});
  std::int64_t number(std::string_view sql, const Params& params = {});
  /// One statement of sql/queries, as a node sends it.
  Rows run(const Statement& statement, Params params = {});

  template <class T>
  T await(boost::asio::awaitable<T> work) {
    return testing::run(io, std::move(work));
  }

  /// Jobs of type "t" in queue "q" with these further columns; ids in the order of insertion.
  Ids insert(int count, const std::string& columns = "", const std::string& values = "");
  std::string insert_one(const std::string& columns = "", const std::string& values = "");
  /// A live node.
  NodeIdentity node(std::int64_t epoch = 11);
  void kill(NodeIdentity identity);

  /// Claims from queue "q", unbounded, under the next token.
  std::vector<ClaimedJob> claim(NodeIdentity by, std::size_t count = 100);
  std::vector<ClaimedJob> claim_suspect(NodeIdentity by);
  std::int64_t last_token() const { return next_token_ - 1; }
  std::int64_t new_token() { return next_token_++; }
  static ClaimWant want(const std::string& queue, std::size_t count);

  /// Finishes with every claim row named whose token appears.
  Ids complete(const std::vector<ClaimedJob>& jobs, bool drop = true);
  Ids end(const std::vector<ClaimedJob>& jobs, const Outcome& outcome, bool drop = true);

  std::string status(const std::string& id);
  /// "ready", "limited", "parked:<reason>", several joined by "+" in alphabetical order, or "none".
  std::string hints(const std::string& id);
  std::int64_t count(std::string_view what);  ///< rows of {ready}, {parked}, {claim} or a table

  TempDatabase& db;
  LogCapture log;
  boost::asio::io_context io{1};

 private:
  bool changed_ = false;
  std::set<std::string> texts_;  ///< statements must outlive the pool

 public:
  Pool pool;
  std::string table;
  std::string qualified;  ///< {t}
  JobTable jobs;

 private:
  std::int64_t next_token_ = 1'000;
};

Ids ids_of(const std::vector<ClaimedJob>& jobs);
Ids sorted(Ids ids);

}  // namespace rowcrew::testing
