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

/// The CHECK constraint, by name, that `sql` is refused for.
std::string broken_by(QueueBench& b, const std::string& sql) {
  try {
    b.query(sql);
  } catch (const DbError& e) {
    const std::string what = e.what();
    const std::string before = "violates check constraint \"";
    const auto at = what.find(before);
    if (e.sqlstate() != "23514" || at == std::string::npos) {
      return what;
    }
    const auto name = at + before.size();
    return what.substr(name, what.find('"', name) - name);
  }
  return "";
}

}  // namespace

TEST_CASE("triggers: an inserted 'processing' row without a claim token is refused") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    CHECK(refusal_of(b, "INSERT INTO {t} ({type}, status) VALUES ('t', 'processing')") == "23514");
    CHECK(b.count("{t}") == 0);
  }
}

TEST_CASE("triggers: a value that a column may not hold is refused by its rule's name") {
  for (const std::string table : kJobTables) {
    QueueBench b(table.c_str());
    const std::string type = table == "job_queue" ? "job_type" : "type";
    const std::string payload = table == "job_queue" ? "payload" : "inputs";
    const struct {
      std::string column, bad, good;
    } cases[] = {
        {type, "''", "'t'"},
        {type, "repeat('x', 101)", "'t'"},
        {"status", "'odd'", "'failed'"},
        {"attempts", "-1", "0"},
        {"crashes", "-1", "0"},
        {"lonely_crashes", "-1", "0"},
        {"max_attempts", "0", "1"},
        {"max_attempts", "1001", "1000"},
        {"priority", "10", "9"},
        {"queue", "''", "'q'"},
        {"queue", "repeat('x', 64)", "repeat('x', 63)"},
        {"tenant", "''", "NULL"},
        {"tenant", "repeat('x', 101)", "repeat('x', 100)"},
        {"unique_key", "''", "'x'"},
        {"unique_key", "repeat('x', 301)", "repeat('x', 300)"},
        {payload, "(SELECT jsonb_agg(1e131071) FROM generate_series(1, 100))", "(SELECT jsonb_agg(-1.7e308::float8) FROM generate_series(1, 1000))"},
        {payload, "(SELECT jsonb_agg(round(1, 16383)) FROM generate_series(1, 100))", "to_jsonb(repeat(chr(1), 100000))"},
    };
    for (const auto& [column, bad, good] : cases) {
      CAPTURE(column);
      CAPTURE(bad);
      const std::string rule = table + "_" + column + "_check";
      b.exec("TRUNCATE {t}");
      const bool typed = column != type;  // beside the column in question
      const std::string columns = column + (typed ? ", " + type : "");
      const std::string last = typed ? ", 't'" : "";
      CHECK(broken_by(b, "INSERT INTO {t} (" + columns + ") VALUES (" + bad + last + ")") == rule);
      // Among good ones, in a statement that makes nothing ready.
      const std::string some = "CASE n WHEN 3 THEN " + bad + " ELSE " + good + " END";
      CHECK(broken_by(b, "INSERT INTO {t} (scheduled_at, " + columns + ") SELECT '2999-01-01', " +
                             some + last + " FROM generate_series(1, 5) n") == rule);
      CHECK(b.count("{t}") + b.count("{ready}") + b.count("{parked}") == 0);
      CHECK(broken_by(b, "INSERT INTO {t} (" + columns + ") VALUES (" + good + last + ")") == "");
      for (const char* was : {"pending", "processing", "completed", "failed"}) {
        CAPTURE(was);
        b.exec("TRUNCATE {t}");
        b.insert_one("status, claim_token", "'" + std::string(was) + "', 1");
        CHECK(broken_by(b, "UPDATE {t} SET " + column + " = " + bad) == rule);
      }
    }
    b.exec("TRUNCATE {t}");
    b.insert_one("status, claim_token", "'processing', 1");
    CHECK(broken_by(b, "UPDATE {t} SET claim_token = NULL") == table + "_check");
  }
}

TEST_CASE("triggers: a payload that a node would read for longer than its lease is refused") {
  for (const std::string table : kJobTables) {
    QueueBench b(table.c_str());
    const std::string payload = table == "job_queue" ? "payload" : "inputs";
    const std::string insert = "INSERT INTO {t} ({type}, " + payload + ") SELECT 't', to_jsonb(repeat('x', 67108862 + ";
    CHECK(broken_by(b, insert + "1))") == table + "_" + payload + "_check");
    CHECK(broken_by(b, insert + "0))") == "");
  }
  QueueBench generations("processing_jobs");
  CHECK(broken_by(generations, "INSERT INTO {t} (type, prompt) SELECT 't', repeat('x', 67108865)") == "processing_jobs_prompt_check");
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
      "$$ SELECT '2999-01-01'::timestamptz $$;");
  // Whatever a trigger or a default might name without its schema.
  b.ddl(
      "CREATE TABLE evil.fresh (LIKE rowcrew.job_queue); CREATE TABLE evil.used (what text);"
      "GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT INSERT ON evil.used TO PUBLIC;"  // else its rights hide it from the triggers
      "CREATE FUNCTION evil.note(w text) RETURNS boolean LANGUAGE plpgsql AS "
      "$$ BEGIN INSERT INTO evil.used VALUES (w); RETURN true; END $$;"
      "CREATE DOMAIN evil.timestamptz AS timestamptz CHECK (evil.note('timestamptz'));"
      "CREATE DOMAIN evil.bool AS bool CHECK (evil.note('bool'));"
      "CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS "
      "$$ BEGIN PERFORM evil.note('clock_timestamp'); RETURN now(); END $$;"
      "CREATE FUNCTION evil.length(text) RETURNS integer LANGUAGE plpgsql AS "
      "$$ BEGIN PERFORM evil.note('length'); RETURN 1; END $$;"
      "CREATE FUNCTION evil.text(text, text) RETURNS boolean LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN evil.note('text'); END $$;"
      "CREATE FUNCTION evil.number(smallint, integer) RETURNS boolean LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN evil.note('number'); END $$;"
      "CREATE FUNCTION evil.time(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN evil.note('time'); END $$;"
      "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text);"
      "CREATE OPERATOR evil.= (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = evil.number);"
      "CREATE OPERATOR evil.> (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = evil.number);"
      "CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz,"
      " FUNCTION = evil.time);"
      "CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz,"
      " FUNCTION = evil.time);");
  b.ddl(
      "SET search_path = evil, pg_catalog, rowcrew;"
      "INSERT INTO rowcrew.job_queue (job_type) VALUES ('t');"
      "INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('t', '2999-01-01');"
      "UPDATE rowcrew.job_queue SET priority = 1;"
      "INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('gone', '2999-01-01');"
      "DELETE FROM rowcrew.job_queue WHERE job_type OPERATOR(pg_catalog.=) 'gone'");
  CHECK(b.count("evil.job_queue_ready") == 0);
  CHECK(b.value("SELECT coalesce(string_agg(DISTINCT what, ' '), '') FROM evil.used") == "");
  CHECK(b.count("{ready}") == 2);
  CHECK(b.count("{parked}") == 1);
}

TEST_CASE("functions: none lets a temporary type stand for one of the system's") {
  // pg_temp is looked through first unless it is named, and whoever may make temporary tables may make domains.
  QueueBench b;
  CHECK(b.number("SELECT count(*) FROM pg_proc p, unnest(p.proconfig) c WHERE p.pronamespace = 'rowcrew'::regnamespace "
                 "AND c LIKE 'search_path=pg_catalog%' AND c NOT LIKE '%pg_temp'") == 0);
}

TEST_CASE("triggers: several rows are filed where PL/pgSQL is told to be strict") {
  QueueBench b;
  b.ddl("SET plpgsql.extra_errors = 'all'; INSERT INTO rowcrew.job_queue (job_type) VALUES ('a'), ('b');"
        "INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('c', now()), ('d', '2999-01-01')");
  CHECK(b.count("{ready}") == 3);
  CHECK(b.count("{parked}") == 1);
}

TEST_CASE("triggers: an application that reads backslashes as escapes inserts jobs, schedules and rules like any other") {
  QueueBench b;
  b.ddl("SET standard_conforming_strings = off; SET escape_string_warning = off;"
        "SELECT rowcrew.limit_set('weighed', p_queue => 'q', p_units => 10, p_per => '1 min', p_weight => 'payload.images');"
        "INSERT INTO rowcrew.job_queue (job_type, queue, payload) VALUES ('a', 'q', '{\"images\": \"3.5\"}'), ('a', 'q', '{\"images\": \"1x5\"}');"
        "INSERT INTO rowcrew.schedule (name, cron, job_type) VALUES ('s', '*/5 1-3 * JAN MON-FRI', 'a');"
        "SELECT rowcrew.emit('order.placed', '{}', 'job_queue', gen_random_uuid(), 'a')");
  CHECK(b.value("SELECT string_agg(units::text, ' ' ORDER BY units) FROM rowcrew.job_queue_limited") == "{1} {4}");
  CHECK(refusal_of(b, "SELECT rowcrew.emit('orderxplaced', '{}', 'job_queue', gen_random_uuid(), 'a')") == "22023");
}

TEST_CASE("functions: none needs MD5, which a server in FIPS mode has not") {
  QueueBench b;
  CHECK(b.number("SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'rowcrew'::regnamespace AND p.prosrc LIKE '%md5(%'") == 0);
  CHECK(b.value("SELECT rowcrew.job_uuid('t', 12)") == b.value("SELECT rowcrew.job_uuid('t', '12'::text)"));
  CHECK(b.value("SELECT rowcrew.job_uuid('t', E'\\\\x41')") != b.value("SELECT rowcrew.job_uuid('t', 'A'::text)"));
  CHECK(b.value("SELECT length(rowcrew.limit_value('tenant', repeat(E'\\\\', 101), NULL, NULL))") == "71");
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
