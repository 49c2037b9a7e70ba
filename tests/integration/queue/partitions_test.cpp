// The weekly partitions of the attempt log and the outbox.
#include "held_transaction.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::int64_t ensure(QueueBench& b, int weeks) {
  return b.run(sql::node_ensure_partitions, Params{}.add(weeks)).integer(0, 0);
}

void log_attempt(QueueBench& b) {
  b.exec(
      "INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome) "
      "VALUES ('job_queue', gen_random_uuid(), 't', 1, 'failed')");
}

std::string partition_of_last(QueueBench& b) {
  return b.value(
      "SELECT tableoid::regclass::text FROM rowcrew.job_attempt ORDER BY ended_at DESC LIMIT 1");
}

}  // namespace

TEST_CASE("partitions: weeks are made ahead, and only once") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  CHECK(ensure(b, 4) == 0);  // the migration made them
  CHECK(ensure(b, 6) == 4);  // two weeks of two tables
  CHECK(ensure(b, 6) == 0);
  log_attempt(b);
  CHECK(partition_of_last(b) ==
        "rowcrew.job_attempt_" + b.value("SELECT to_char(now() AT TIME ZONE 'UTC', "
                                         "'IYYY\"w\"IW')"));
}

TEST_CASE("partitions: around the turn of a year weeks follow without gap or overlap") {
  QueueBench b;
  for (const char* now : {"2026-12-24", "2027-01-03 23:59:59.999", "2027-01-04", "2032-12-27"}) {
    CAPTURE(now);
    b.ddl("SELECT rowcrew.set_clock_offset('" + std::string(now) + "Z'::timestamptz - now())");
    ensure(b, 4);
    CHECK(ensure(b, 4) == 0);
    log_attempt(b);
    CHECK(partition_of_last(b) != "rowcrew.job_attempt_default");
  }
}

TEST_CASE("partitions: weeks begin at midnight UTC, whatever the zone and date style of the session that makes them") {
  QueueBench b;
  // Printed in this style, Indian time is "IST", which is read as that of Israel.
  b.ddl("SELECT rowcrew.set_clock_offset('3000 days');"
        "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'; SELECT rowcrew.ensure_partitions(1)");
  CHECK(ensure(b, 3) == 4);  // two weeks more of two tables, without gap or overlap
}

TEST_CASE("partitions: are made whatever tablespace is the default of who makes them") {
  QueueBench b;
  // One that exists everywhere and where no table of ours may lie.
  b.ddl("SELECT rowcrew.set_clock_offset('3000 days'); SET default_tablespace = 'pg_global'; SELECT rowcrew.ensure_partitions(1)");
  CHECK(ensure(b, 1) == 0);
}

TEST_CASE("partitions: of the archive this month's and the next one's are made, around the turn of a year, too") {
  QueueBench b;
  for (const char* now : {"2027-12-31 23:59:59.999", "2028-01-01", "2028-01-31"}) {
    CAPTURE(now);
    b.ddl("SELECT rowcrew.set_clock_offset('" + std::string(now) + "Z'::timestamptz - now())");
    ensure(b, 4);
    CHECK(ensure(b, 4) == 0);
    b.exec("INSERT INTO rowcrew.archive (policy, source, id, row) VALUES ('p', 'job_queue', 'i', '{}')");
    CHECK(b.value("SELECT tableoid::regclass FROM rowcrew.archive ORDER BY archived_at DESC LIMIT 1") ==
          "rowcrew.archive_" + b.value("SELECT to_char(rowcrew.clock() AT TIME ZONE 'UTC', 'YYYY\"m\"MM')"));
  }
  CHECK(b.value("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'archive_2028m02'") ==
        "FOR VALUES FROM ('2028-02-01 00:00:00+00') TO ('2028-03-01 00:00:00+00')");
}

TEST_CASE("partitions: while somebody reads one table for long, those of the others are made all the same") {
  QueueBench b;
  b.ddl("SELECT rowcrew.set_clock_offset('3000 days')");
  HeldTransaction reader(b.db, "SELECT count(*) FROM rowcrew.job_attempt");
  CHECK(ensure(b, 4) == 5 + 2 + 2);  // of events, the archive and provider calls
}

TEST_CASE(
    "partitions: after a long stop the default takes what comes, and the next weeks are made") {
  QueueBench b;
  b.ddl("SELECT rowcrew.set_clock_offset('90 days')");
  log_attempt(b);  // before the maintainer comes round
  CHECK(partition_of_last(b) == "rowcrew.job_attempt_default");
  // This week has begun in the default partition and ends there; that hinders nothing else.
  CHECK(ensure(b, 4) == 9 + 2 + 2);  // and two months of the archive and of provider calls
  log_attempt(b);
  CHECK(partition_of_last(b) == "rowcrew.job_attempt_default");
  b.ddl("SELECT rowcrew.set_clock_offset('97 days')");
  log_attempt(b);
  CHECK(partition_of_last(b) != "rowcrew.job_attempt_default");
  CHECK(b.count("rowcrew.job_attempt") == 3);
}
