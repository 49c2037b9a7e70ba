// What the hot statements cost: one look into an index per job, whatever the statistics said when
// they were planned, and the same whatever else the tables hold.
#include <algorithm>
#include <cstdlib>
#include <regex>
#include <string>

#include "held_transaction.hpp"
#include "pg/statement_template.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr const char* kCosts = "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF";

struct FreshBench : QueueBench {
  explicit FreshBench(const std::string& of = "job_queue")
      : QueueBench(of, 2, QueueBench::Database::fresh) {}
};

/// (NULL, NULL, …) for a statement's parameters.
std::string nulls(std::string_view text) {
  int last = 0;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    last = std::max(last, std::atoi(text.data() + at + 1));
  }
  std::string out;
  for (int i = 0; i < last; ++i) out += i == 0 ? "(NULL" : ", NULL";
  return out.empty() ? out : out + ")";
}

std::string lines(Tx& tx, const std::string& explain) {
  const Rows rows = tx.exec(Statement{"explain", explain});
  std::string plan;
  for (std::size_t i = 0; i < rows.size(); ++i) plan += std::string(rows.text(i, 0)) + "\n";
  return plan;
}

/// `EXPLAIN (options) EXECUTE` of one statement in a session as nodes have it. With `meanwhile` the
/// statement is planned before that is carried out, and explained after.
std::string explained(QueueBench& b, const Statement& source, const std::string& options,
                      const std::string& arguments, const std::string& meanwhile = "") {
  StatementSet set(table_map(b.table).values, b.table);
  const std::string prepare = "PREPARE probe AS " + std::string(set.render(source).text);
  std::string plan;
  auto work = [&](Tx& tx) {
    exec_script(tx, prepare);
    if (!meanwhile.empty()) {
      exec_script(tx, "EXECUTE probe" + nulls(source.text));
      exec_script(tx, meanwhile);
    }
    plan = lines(tx, "EXPLAIN (" + options + ") EXECUTE probe" + arguments);
  };
  run_once(*direct_options(b.db.options()), TxMode::transaction, work);
  return std::regex_replace(plan, std::regex(R"((rows=\d+)\.00 )"), "$1 ");  // as PostgreSQL 18 writes it
}

std::string plan_of(QueueBench& b, const Statement& source) {
  return explained(b, source, "COSTS OFF", nulls(source.text));
}

/// The relations that a plan reads from one end to the other, but for the few rows of
/// subscriptions and the first of requests to cancel. An index counts when nothing bounds the walk over it.
std::string read_whole(const std::string& plan) {
  static const std::regex kScan(R"(((?:Seq|Bitmap Heap) Scan on (?!event_subscription|cancel_request|job_limit)(\w+))|)"
                                R"((Index (?:Only )?Scan using (?!event_subscription|cancel_request|job_limit)(\w+)[^\n]*\n(?! *Index Cond)))");
  std::string whole;
  for (std::sregex_iterator at(plan.begin(), plan.end(), kScan), end; at != end; ++at) {
    whole += ((*at)[2].matched ? (*at)[2].str() : (*at)[4].str()) + " ";
  }
  return whole;
}

std::string marks(const std::string& mark) {
  std::string out = "'{" + mark;
  for (int i = 1; i < 10; ++i) out += "," + mark;
  return out + "}'";
}

std::string claim_arguments(QueueBench& b, int count, const std::string& mark = "-infinity") {
  const NodeIdentity node = b.node();
  return "(" + std::to_string(b.new_token()) + ", " + std::to_string(node.node_id) +
         ", 1, '{q}', '{" + std::to_string(count) + "}', " + marks(mark) + ")";
}

/// Pages that the whole statement touched.
long buffers(const std::string& plan) {
  static const std::regex kBuffers(R"(Buffers: shared hit=(\d+)(?: read=(\d+))?)");
  std::smatch found;
  REQUIRE(std::regex_search(plan, found, kBuffers));
  return std::stol(found[1]) + (found[2].matched ? std::stol(found[2]) : 0);
}

/// Claims `count` jobs of "q" for good and tells the pages that it touched.
long claim_cost(QueueBench& b, int count, const std::string& mark = "-infinity") {
  return buffers(explained(b, sql::claim, kCosts, claim_arguments(b, count, mark)));
}

const Statement* const kHot[] = {
    &sql::claim,         &sql::claim_unlocked,   &sql::claim_rescued, &sql::claim_suspect,
    &sql::has_suspect,   &sql::finish_completed, &sql::finish_ended,  &sql::finish_verify,
    &sql::park_unserved, &sql::lost_running,     &sql::hand_back,     &sql::promote,
    &sql::drop_claims};

}  // namespace

TEST_CASE("plans: planned on empty tables, no hot statement reads anything whole") {
  // Plans are kept for the life of a connection: what is chosen now must be right an hour later.
  for (const char* table : kJobTables) {
    FreshBench b(table);
    for (const bool analysed : {false, true}) {
      if (analysed) {
        for (const char* companion : {"{t}", "{ready}", "{parked}", "{claim}"}) {
          b.ddl("VACUUM ANALYZE " + b.named(companion));
        }
      }
      for (const Statement* statement : kHot) {
        const std::string name(statement->name);
        const std::string plan = plan_of(b, *statement);
        CAPTURE(table);
        CAPTURE(analysed);
        CAPTURE(name);
        CAPTURE(plan);
        CHECK(read_whole(plan) == "");
        CHECK(plan.find("Merge Join") == std::string::npos);
        CHECK(plan.find("Hash Join") == std::string::npos);
      }
      const std::string t = table;
      // The leader looks at the first parked job, and for claims without a node among all of them.
      const std::string pulse = plan_of(b, sql::pulse);
      CAPTURE(pulse);
      CHECK(read_whole(pulse).find(t + " ") == std::string::npos);
      CHECK(read_whole(pulse).find(t + "_ready") == std::string::npos);
      CHECK(pulse.find("Seq Scan on " + t + "_parked") == std::string::npos);
      const std::string next_parked = plan_of(b, sql::next_parked);
      CAPTURE(next_parked);
      CHECK(next_parked.find("Index Only Scan using " + t + "_parked_run_at_id_idx") != std::string::npos);
      CHECK(read_whole(next_parked) == "");
      CHECK(read_whole(plan_of(b, sql::own_claims)) == t + "_claim ");
      // The reaper looks for claims without a node among all of them, and at jobs by their ids.
      const std::string reap = plan_of(b, sql::reap);
      CAPTURE(reap);
      CHECK(read_whole(reap).find(t + " ") == std::string::npos);
      CHECK(read_whole(reap).find(t + "_pkey") == std::string::npos);
    }
  }
}

TEST_CASE("plans: a claim planned on empty tables costs the same when they have filled") {
  for (const bool analysed : {false, true}) {
    CAPTURE(analysed);
    FreshBench b;
    if (analysed) b.ddl("VACUUM ANALYZE rowcrew.job_queue");
    const std::string fill =
        "INSERT INTO rowcrew.job_queue (job_type, queue) SELECT 't', 'q' FROM generate_series(1, "
        "20000)";
    const std::string plan = explained(b, sql::claim, kCosts, claim_arguments(b, 100), fill);
    CAPTURE(plan);
    CHECK(buffers(plan) < 100 * 40);
  }
}

TEST_CASE("plans: a finish planned on empty tables costs the same when they have filled") {
  for (const bool analysed : {false, true}) {
    CAPTURE(analysed);
    FreshBench b;
    if (analysed) b.ddl("VACUUM ANALYZE rowcrew.job_queue");
    const std::string fill =
        "INSERT INTO rowcrew.job_queue (id, job_type, queue, status, claim_token) "
        "SELECT lpad(n::text, 32, '0')::uuid, 't', 'q', 'processing', 5 FROM generate_series(1, "
        "20000) n";
    std::string ids = "'{";
    std::string tokens = "'{";
    std::string results = "'{";
    for (int n = 1; n <= 100; ++n) {
      const char* comma = n == 1 ? "" : ",";
      std::string digits = std::to_string(100 * n);
      ids += comma + std::string(32 - digits.size(), '0') + digits;
      tokens += comma + std::string("5");
      results += comma + std::string("NULL");
    }
    const std::string plan =
        explained(b, sql::finish_completed, kCosts,
                  "(" + ids + "}', " + tokens + "}', " + results + "}', '{5}')", fill);
    CAPTURE(plan);
    CHECK(plan.find("(actual rows=100 loops=1)") != std::string::npos);
    CHECK(buffers(plan) < 100 * 40);
  }
}

TEST_CASE("plans: among a hundred thousand ready jobs a claim walks the index and sorts nothing") {
  FreshBench b;
  b.exec(
      "INSERT INTO {t} (job_type, queue, priority) SELECT 't', 'q', n % 10 "
      "FROM generate_series(1, 100000) n");
  for (const bool analysed : {false, true}) {
    CAPTURE(analysed);
    if (analysed) b.ddl("ANALYZE rowcrew.job_queue, rowcrew.job_queue_ready");
    for (const Statement* statement : {&sql::claim, &sql::claim_unlocked}) {
      const std::string plan = plan_of(b, *statement);
      CAPTURE(plan);
      CHECK(plan.find("Sort") == std::string::npos);
      CHECK(read_whole(plan) == "");
      CHECK(plan.find("Index Scan using job_queue_ready_queue_priority_run_at_idx") !=
            std::string::npos);
      CHECK(plan.find("run_at <= statement_timestamp()") != std::string::npos);
      CHECK(plan.find("Tid Scan on job_queue_ready") != std::string::npos);
    }
  }
  CHECK(claim_cost(b, 100) < 100 * 40);
}

TEST_CASE("plans: a claim costs the same with a hundred thousand finished jobs beside it") {
  FreshBench b;
  b.insert(300);
  claim_cost(b, 100);  // leaves dead hints in front, as there are always some
  const long alone = claim_cost(b, 100);
  b.exec(
      "INSERT INTO {t} (job_type, queue, status) SELECT 't', 'q', 'completed' "
      "FROM generate_series(1, 100000)");
  const long beside = claim_cost(b, 100);
  CAPTURE(alone);
  CAPTURE(beside);
  // The tree over the ids has grown by up to two levels: a page more of each per job.
  CHECK(beside <= alone + 2 * 100 + 50);
}

TEST_CASE("plans: behind its watermark a claim does not meet what a pinned snapshot keeps") {
  FreshBench b;
  const HeldTransaction pin(b.db, "SELECT pg_current_xact_id()");  // what is deleted after it began stays, as under a snapshot
  b.exec("INSERT INTO {t} (job_type, queue) SELECT 't', 'q' FROM generate_series(1, 20000)");
  b.exec("DELETE FROM {ready}");  // claimed and gone, yet nothing of it can be vacuumed
  b.insert(200);
  const std::string mark = "\"" + b.value("SELECT min(run_at) FROM {ready}") + "\"";
  const long bounded = claim_cost(b, 50, mark);
  const long unbounded = claim_cost(b, 50);
  CAPTURE(bounded);
  CAPTURE(unbounded);
  CHECK(bounded < 50 * 40);
  CHECK(unbounded > bounded + 100);
}

TEST_CASE("plans: stale hints cost the same when twenty thousand jobs were postponed to one moment") {
  FreshBench b;
  b.ddl("VACUUM ANALYZE rowcrew.job_queue_parked");
  const std::string fill =
      "INSERT INTO rowcrew.job_queue (job_type, queue) SELECT 't', 'q' FROM generate_series(1, 20000);"
      "UPDATE rowcrew.job_queue SET scheduled_at = now() + interval '1 hour'";
  const std::string plan = explained(b, sql::claim, kCosts, claim_arguments(b, 100), fill);
  CAPTURE(plan);
  CHECK(buffers(plan) < (100 + 1'000) * 40);
}

TEST_CASE("plans: claiming one suspect costs the same when there are twenty thousand of them") {
  FreshBench b;
  b.ddl("VACUUM ANALYZE rowcrew.job_queue_parked");
  const std::string fill =
      "INSERT INTO rowcrew.job_queue (job_type, queue, crashes) SELECT 't', CASE n % 2 WHEN 0 THEN 'q' ELSE 'r' END, 2 "
      "FROM generate_series(1, 20000) n";
  const std::string plan = explained(b, sql::claim_suspect, kCosts, "(7, 1, 1, '{q,r}')", fill);
  CAPTURE(plan);
  CHECK(plan.find("(actual rows=1 loops=1)") != std::string::npos);
  CHECK(buffers(plan) < 100);
}

TEST_CASE("plans: a look for suspects and for the next due does not depend on who else is parked") {
  FreshBench b;
  b.ddl("VACUUM ANALYZE rowcrew.job_queue_parked");
  const std::string fill =
      "INSERT INTO rowcrew.job_queue (job_type, queue, scheduled_at) SELECT 't', 'q', now() + "
      "interval '1 hour' "
      "FROM generate_series(1, 20000);"
      "UPDATE rowcrew.job_queue_parked SET run_at = now() - interval '1 hour';"  // due, not yet
                                                                                 // promoted
      "INSERT INTO rowcrew.job_queue (job_type, queue, crashes) SELECT 't', 'q', 1 + n % 2 FROM "
      "generate_series(1, 6) n";
  CHECK(buffers(explained(b, sql::has_suspect, kCosts, "('{q}')", fill)) < 20);
  b.exec("TRUNCATE {t}");
  CHECK(buffers(explained(b, sql::claim_suspect, kCosts, "(7, 1, 1, '{q}')", fill)) < 100);
  b.exec("TRUNCATE {t}");
  CHECK(buffers(explained(b, sql::claim_rescued, kCosts, "('{7,8,9}', 1, 1, '{q}', '{3}', NULL)", fill)) < 200);
  b.exec("TRUNCATE {t}");
  CHECK(buffers(explained(b, sql::pulse, kCosts, "('{q}', '{}')", fill)) < 100);
  b.exec("TRUNCATE {t}");
  CHECK(buffers(explained(b, sql::promote, kCosts, "(100, NULL)", fill)) < 100 * 40);
}

TEST_CASE(
    "plans: the audit compares sets by their sizes of the moment, instead of looking up each job") {
  for (const int history : {0, 3'000}) {  // what the statistics know: nothing, or jobs that have ended
    CAPTURE(history);
    FreshBench b;
    b.exec("INSERT INTO {t} (job_type, status) SELECT 't', 'completed' FROM generate_series(1, " + std::to_string(history) + ")");
    b.ddl("VACUUM ANALYZE rowcrew.job_queue");
    b.ddl("VACUUM ANALYZE rowcrew.job_queue_ready");
    StatementSet set(table_map(b.table).values, b.table);
    const std::string find(set.render(sql::audit_find).text);
    std::string plan;
    auto work = [&](Tx& tx) {
      tx.exec(sql::audit_settings);
      tx.exec(sql::audit_find_settings);
      exec_script(tx, "PREPARE probe AS " + find + "; EXECUTE probe(0, 100)");
      exec_script(tx,
                  "INSERT INTO rowcrew.job_queue (job_type, queue) SELECT 't', 'q' "
                  "FROM generate_series(1, 20000)");
      plan = lines(tx, std::string("EXPLAIN (") + kCosts + ") EXECUTE probe(0, 100)");
    };
    run_once(*direct_options(b.db.options()), TxMode::transaction, work);
    CAPTURE(plan);
    CHECK(plan.find("Tid Range Scan on job_queue") != std::string::npos);
    CHECK(std::regex_search(plan, std::regex("Hash (Right )?Anti Join")));  // Right: since PostgreSQL 16
    CHECK(plan.find("Nested Loop") == std::string::npos);
    CHECK(plan.find("SubPlan") == std::string::npos);  // which would be run per job once it is large
    CHECK(buffers(plan) < 1'000);                      // each table once, and of the jobs the range
  }
}
