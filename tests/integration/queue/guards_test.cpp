// What a job table refuses, and how its triggers fare in the hands of others.
#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The SQLSTATE that `sql` is refused with, or "accepted".
std::string refusal_of(QueueBench& b, const std::string& sql) {
  try {
    b.query(sql);
  } catch (const DbError& e) {
    return e.sqlstate();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("triggers: an inserted 'processing' row without a claim token is refused") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    CHECK(refusal_of(b, "INSERT INTO {t} ({type}, status) VALUES ('t', 'processing')") == "23514");
    CHECK(b.count("{t}") == 0);
  }
}

TEST_CASE("triggers: nobody but a claim sets 'processing'") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    for (const char* was : {"pending", "retrying", "completed", "failed", "cancelled"}) {
      CAPTURE(was);
      b.exec("DELETE FROM {t}");
      const std::string id = b.insert_one("status, claim_token", "'" + std::string(was) + "', 1");
      CHECK(refusal_of(b, "UPDATE {t} SET status = 'processing'") == "55000");
      CHECK(b.status(id) == was);
    }
    b.exec("DELETE FROM {t}");
    b.insert_one();  // without a token the check of the table comes first
    CHECK(refusal_of(b, "UPDATE {t} SET status = 'processing'") == "23514");
    // What runs may be written to.
    b.exec("UPDATE {t} SET status = 'processing', claim_token = 9");
    CHECK(refusal_of(b, "UPDATE {t} SET error_message = 'half way', status = 'processing'") ==
          "accepted");
  }
}

TEST_CASE("triggers: the id of a job cannot change") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.insert_one();
    CHECK(refusal_of(b, "UPDATE {t} SET id = gen_random_uuid()") == "55000");
    CHECK(refusal_of(b, "UPDATE {t} SET id = id") == "accepted");
  }
}

TEST_CASE("triggers: TRUNCATE empties what belongs to the table, and only that") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(3);
    REQUIRE(b.claim(node, 1).size() == 1);
    b.insert(2, "scheduled_at", "'2999-01-01'");
    b.query(
        "INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id) VALUES "
        "('live:x', 'k', $1, gen_random_uuid()), ('live:y', 'k', 'another', gen_random_uuid())",
        Params{}.add(table));
    b.exec("TRUNCATE {t}");
    CHECK(b.count("{ready}") == 0);
    CHECK(b.count("{parked}") == 0);
    CHECK(b.count("{claim}") == 0);
    CHECK(b.value("SELECT string_agg(job_table, ',') FROM rowcrew.job_unique") == "another");
  }
}

TEST_CASE("triggers: hints are filed with our rights, whatever the inserter's search path says") {
  QueueBench b;
  b.ddl(
      "CREATE SCHEMA evil; CREATE TABLE evil.job_queue_ready (LIKE rowcrew.job_queue_ready);"
      "CREATE FUNCTION evil.clock_now() RETURNS timestamptz LANGUAGE sql AS "
      "$$ SELECT '2999-01-01'::timestamptz $$;"
      "SET search_path = evil, rowcrew; INSERT INTO rowcrew.job_queue (job_type) VALUES ('t');"
      "UPDATE rowcrew.job_queue SET priority = 1");
  CHECK(b.count("evil.job_queue_ready") == 0);
  CHECK(b.count("{ready}") == 2);
}

TEST_CASE("triggers: without the insert trigger hints are missing, all others fire even so") {
  QueueBench b;
  const auto superuser = superuser_url(b.db);
  if (!superuser) {
    MESSAGE("skipped: replica mode needs ROWCREW_TEST_SUPERUSER_URL");
    return;
  }
  const std::string id = b.insert_one("status", "'failed'");
  // As a restore or a logical replication writes: only triggers that are ENABLE ALWAYS fire.
  PoolOptions options = b.db.options();
  options.url = *superuser;
  auto work = [](Tx& tx) {
    exec_script(tx,
                "SET session_replication_role = replica;"
                "INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('lost', 'q');"
                "UPDATE rowcrew.job_queue SET status = 'pending' WHERE status = 'failed'");
  };
  run_once(options, TxMode::autocommit, work);
  CHECK(b.hints(id) == "ready");
  CHECK(b.number("SELECT count(*) FROM {t} q WHERE job_type = 'lost' "
                 "AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = q.id)") == 1);
  // The audit finds such rows (audit_test.cpp).
  const Ids found = b.await(b.jobs.audit_find(0, 1'000));
  REQUIRE(found.size() == 1);
  CHECK(b.await(b.jobs.audit_heal(found)) == found);
  CHECK(b.hints(found[0]) == "parked:scheduled");
}
