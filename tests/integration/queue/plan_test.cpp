// What the hot statements cost: index walks whatever the statistics say, and the same whatever else
// the table holds.
#include <regex>
#include <string>

#include "held_transaction.hpp"
#include "pg/statement_template.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The arguments NULL, NULL, … for a statement's parameters.
std::string nulls(std::string_view text) {
  int last = 0;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    last = std::max(last, std::atoi(text.data() + at + 1));
  }
  std::string out;
  for (int i = 0; i < last; ++i) out += i == 0 ? "(NULL" : ", NULL";
  return out.empty() ? out : out + ")";
}

/// The lines of `EXPLAIN (options) EXECUTE statement arguments`, in a session as nodes have it.
std::string explained(QueueBench& b, const Statement& source, const std::string& options,
                      const std::string& arguments) {
  StatementSet set(table_map(b.table).values, b.table);
  const std::string prepare = "PREPARE probe AS " + std::string(set.render(source).text);
  const std::string explain = "EXPLAIN (" + options + ") EXECUTE probe" + arguments;
  std::string plan;
  auto work = [&](Tx& tx) {
    exec_script(tx, prepare);
    const Rows rows = tx.exec(Statement{"explain", explain});
    for (std::size_t i = 0; i < rows.size(); ++i) plan += std::string(rows.text(i, 0)) + "\n";
  };
  run_once(b.db.options(), TxMode::transaction, work);
  return plan;
}

std::string plan_of(QueueBench& b, const Statement& source) {
  return explained(b, source, "COSTS OFF", nulls(source.text));
}

/// The tables that a plan reads from one end to the other.
std::string read_whole(const std::string& plan) {
  static const std::regex kScan(R"((?:Seq|Bitmap Heap) Scan on (\w+))");
  std::string tables;
  for (std::sregex_iterator at(plan.begin(), plan.end(), kScan), end; at != end; ++at) {
    tables += (*at)[1].str() + " ";
  }
  return tables;
}

std::string marks(const std::string& mark) {
  std::string out = "'{" + mark;
  for (int i = 1; i < 10; ++i) out += "," + mark;
  return out + "}'";
}

/// Claims `count` jobs of "q" for good and tells the plan, with its buffers.
std::string claimed_plan(QueueBench& b, int count, const std::string& mark) {
  const NodeIdentity node = b.node();
  return explained(b, sql::claim, "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF",
                   "(" + std::to_string(b.new_token()) + ", " + std::to_string(node.node_id) +
                       ", 1, '{q}', '{" + std::to_string(count) + "}', " + marks(mark) + ")");
}

/// Pages that the whole statement touched.
long buffers(const std::string& plan) {
  static const std::regex kBuffers(R"(Buffers: shared hit=(\d+)(?: read=(\d+))?)");
  std::smatch found;
  REQUIRE(std::regex_search(plan, found, kBuffers));
  return std::stol(found[1]) + (found[2].matched ? std::stol(found[2]) : 0);
}

}  // namespace

TEST_CASE("plans: no hot statement reads a table whole, planned while all tables were empty") {
  // Plans are kept for the life of a connection: what is chosen here must be right an hour later.
  const Statement* const hot[] = {
      &sql::claim,        &sql::claim_unlocked, &sql::claim_suspect, &sql::finish_completed,
      &sql::finish_ended, &sql::finish_verify,  &sql::park_unserved, &sql::lost_running,
      &sql::hand_back,    &sql::promote,        &sql::drop_claims,   &sql::has_suspect,
      &sql::next_parked};
  for (const char* table : kJobTables) {
    QueueBench b(table, 2, QueueBench::Database::fresh);
    for (const Statement* statement : hot) {
      const std::string name(statement->name);
      const std::string plan = plan_of(b, *statement);
      CAPTURE(table);
      CAPTURE(name);
      CAPTURE(plan);
      std::string whole = read_whole(plan);
      // Subscriptions are a handful and have no index to walk.
      for (auto at = whole.find("event_subscription "); at != std::string::npos;
           at = whole.find("event_subscription ")) {
        whole.erase(at, std::string_view("event_subscription ").size());
      }
      CHECK(whole == "");
      CHECK(plan.find("Merge Join") == std::string::npos);
      CHECK(plan.find("Hash Join") == std::string::npos);
    }
  }
}

TEST_CASE("plans: the reaper and the reconciler read the claim rows, and jobs by their ids") {
  for (const char* table : kJobTables) {
    QueueBench b(table, 2, QueueBench::Database::fresh);
    const std::string t = table;
    CHECK(read_whole(plan_of(b, sql::reap)) == t + "_claim event_subscription ");
    CHECK(read_whole(plan_of(b, sql::own_claims)) == t + "_claim ");
  }
}

TEST_CASE("plans: among a hundred thousand ready jobs a claim walks the index and sorts nothing") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  b.exec("INSERT INTO {t} (job_type, queue, priority) SELECT 't', 'q', n % 10 "
         "FROM generate_series(1, 100000) n");
  for (const bool analysed : {false, true}) {
    CAPTURE(analysed);
    if (analysed) b.ddl("ANALYZE");
    const std::string plan = plan_of(b, sql::claim);
    CAPTURE(plan);
    CHECK(plan.find("Sort") == std::string::npos);
    CHECK(read_whole(plan) == "");
    CHECK(plan.find("Index Scan using job_queue_ready_queue_priority_run_at_idx") != std::string::npos);
    CHECK(plan.find("run_at <= statement_timestamp()") != std::string::npos);
    CHECK(plan.find("Tid Scan on job_queue_ready") != std::string::npos);
    const std::string slow = plan_of(b, sql::claim_unlocked);
    CHECK(slow.find("Sort") == std::string::npos);
    CHECK(read_whole(slow) == "");
  }
  // A small claim of that many touches a few pages for each job.
  CHECK(buffers(claimed_plan(b, 100, "-infinity")) < 100 * 40);
}

TEST_CASE("plans: a claim costs the same with a hundred thousand finished jobs beside it") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  b.insert(300);
  claimed_plan(b, 100, "-infinity");  // leaves dead hints in front, as there are always some
  const long alone = buffers(claimed_plan(b, 100, "-infinity"));
  b.exec("INSERT INTO {t} (job_type, queue, status) SELECT 't', 'q', 'completed' "
         "FROM generate_series(1, 100000)");
  const long beside = buffers(claimed_plan(b, 100, "-infinity"));
  CAPTURE(alone);
  CAPTURE(beside);
  // The tree over the ids has grown by up to two levels: a page more of each per job.
  CHECK(beside <= alone + 2 * 100 + 50);
}

TEST_CASE("plans: behind its watermark a claim does not meet what a pinned snapshot keeps") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  const HeldTransaction pin(b.db,
                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM rowcrew.job_queue");
  b.exec("INSERT INTO {t} (job_type, queue) SELECT 't', 'q' FROM generate_series(1, 20000)");
  b.exec("DELETE FROM {ready}");  // claimed and gone, yet nothing of it can be vacuumed
  b.insert(200);
  const std::string mark = "\"" + b.value("SELECT min(run_at) FROM {ready}") + "\"";
  const long bounded = buffers(claimed_plan(b, 50, mark));
  const long unbounded = buffers(claimed_plan(b, 50, "-infinity"));
  CAPTURE(bounded);
  CAPTURE(unbounded);
  CHECK(bounded < 50 * 40);
  CHECK(unbounded > bounded + 100);
}
