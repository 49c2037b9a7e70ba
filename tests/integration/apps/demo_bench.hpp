// The demo app on a database of a test's own, its ports called as a node calls them.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "pg/pool.hpp"
#include "queue/job_table.hpp"
#include "queue/port_catalog.hpp"
#include "support/db/temp_database.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

class DemoBench {
 public:
  /// One account of this tier, watching folder "f".
  explicit DemoBench(const std::string& tier = "creator", int limit = 100);

  Rows query(std::string_view sql, const Params& params = {}) { return db.query(sql, params); }
  std::string value(std::string_view sql, const Params& params = {}) { return db.value(sql, params); }
  int number(std::string_view sql) { return std::stoi(value(sql)); }

  /// A file as the lister reports it.
  static std::string file(const std::string& name, int inode, const std::string& sha256, int mtime = 1);
  /// drive_files_found; how many were new.
  int found(const std::vector<std::string>& files);
  int found_new(int count);  ///< that many files that nobody has seen before

  std::vector<Job> claim(std::size_t count = 100);
  /// generation_input: "go", "wait", or the code of the refusal.
  std::string input(const Job& job);
  void end(const Job& job, const Outcome& outcome);
  /// input() and, if it goes, Completed.
  std::string process(const Job& job);

  /// "processed|failed|blocked|overage|cents|credits" of the only period.
  std::string usage();
  std::string statuses();  ///< of all photos, in the order they were found

  TempDatabase db;
  LogCapture log;
  boost::asio::io_context io{1};
  Pool pool;
  JobTable jobs;
  PortCatalog catalog;

 private:
  std::int64_t token_ = 100;
  int files_ = 0;
};

}  // namespace rowcrew::testing
