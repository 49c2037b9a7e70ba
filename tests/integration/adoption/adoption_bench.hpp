// A database with the job tables of applications (tests/support/adopted), the real commands on it, and
// one of the tables driven through JobTable as a node does it.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pg/pool.hpp"
#include "queue/job_control.hpp"
#include "queue/job_table.hpp"
#include "support/db/temp_database.hpp"
#include "support/ended_jobs.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

using Ids = std::vector<std::string>;

/// One of the tables, and how a test writes a row into it.
struct AdoptedFixture {
  const char* map;      ///< file in tests/support/adopted
  const char* table;    ///< qualified, quoted
  const char* name;     ///< under which it is served
  const char* status;   ///< column
  const char* insert;   ///< columns and a SELECT list over n
  const char* words[4];  ///< pending, processing, completed, failed
};
extern const AdoptedFixture kAdoptedFixtures[5];
const AdoptedFixture& adopted_fixture(std::string_view map);

struct CommandAnswer {
  int code;
  std::string out;
  std::string err;
};

class AdoptionBench {
 public:
  explicit AdoptionBench(std::string_view map = "jobs");

  CommandAnswer rowcrew(std::vector<std::string> args);
  std::string command_url;  ///< whose command it is; empty: the owner's
  CommandAnswer adopt(const std::string& map_text, const std::vector<std::string>& more = {});
  std::string map_text() const;
  /// Adopts the table of the fixture and opens it as nodes do.
  void serve();
  void reopen();

  Rows query(std::string_view sql, const Params& params = {});
  void exec(std::string_view sql) { db.exec(named(sql)); }
  std::string value(std::string_view sql, const Params& params = {});
  std::int64_t number(std::string_view sql) { return std::stoll(value(sql)); }
  /// {t}, {id}, {s} for table, key and status column; {ready}, {parked}, {limited}, {claim}, {job}; {pending} and
  /// so on for words in quotes.
  std::string named(std::string_view sql) const;

  Ids insert(int count);
  std::string status(const std::string& id);
  std::string hints(const std::string& id);

  NodeIdentity node();
  std::vector<ClaimedJob> claim(NodeIdentity by, std::size_t count = 100);
  Ids complete(const std::vector<ClaimedJob>& jobs);
  Ids end(const std::vector<ClaimedJob>& jobs, const Outcome& outcome);

  template <class T>
  T await(boost::asio::awaitable<T> work) {
    return testing::run(io, std::move(work));
  }

  const AdoptedFixture& fixture;
  TempDatabase db;
  LogCapture log;
  boost::asio::io_context io{1};
  Pool pool;
  std::unique_ptr<JobTable> jobs;
  std::unique_ptr<JobControl> control;
  std::int64_t next_token = 1'000;

 private:
  std::set<std::string> texts_;
};

std::string read_text(const std::string& path_in_tests);

}  // namespace rowcrew::testing
