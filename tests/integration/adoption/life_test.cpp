// Jobs of adopted tables, from claim to end, in the words and columns of each table.
#include <algorithm>

#include "adoption_bench.hpp"
#include "pg/statement_template.hpp"
#include "queue/table_map.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

Ids sorted(Ids ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

Ids ids_of(const std::vector<ClaimedJob>& claimed) {
  Ids ids;
  for (const ClaimedJob& job : claimed) ids.push_back(job.job.id);
  return sorted(ids);
}

/// Makes what was parked due.
void let_pass(AdoptionBench& b) {
  b.exec("UPDATE {parked} SET run_at = '2000-01-01'; UPDATE {job} SET scheduled_at = '2000-01-01' WHERE scheduled_at IS NOT NULL");
  if (std::string_view(b.fixture.map) == "job_queue") b.exec("UPDATE {t} SET scheduled_at = '2000-01-01'");
  if (std::string_view(b.fixture.map) == "rails") b.exec("UPDATE {t} SET run_at = '2000-01-01' WHERE run_at IS NOT NULL");
  b.await(b.jobs->promote(1'000));
}

}  // namespace

TEST_CASE("adopted statements: each one prepares for every kind of table") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    AdoptionBench b(fixture.map);
    b.serve();
    const Rows row = b.query("SELECT template FROM rowcrew.adopted_table");
    auto values = adopted_table_map(fixture.name, 1, row.text(0, 0)).values;
    values.merge(std::map<std::string, std::string, std::less<>>{{"call", "rowcrew.say_time(now())"}, {"call_one", "g.args"}, {"after_call", "NULL"}, {"args", "'{}'::jsonb"}});
    StatementSet set(std::move(values), fixture.name);
    int seen = 0;
    for (const Statement& source : sql::kAll) {
      if (!source.name.starts_with("adopted/")) continue;
      ++seen;
      const std::string_view name = source.name;
      CAPTURE(fixture.map);
      CAPTURE(name);
      CHECK_NOTHROW(b.db.exec("PREPARE probe AS " + std::string(set.render(source).text)));
    }
    CHECK(seen == 31);
    // Those that look at companions alone serve every kind of table.
    for (const Statement& source : {sql::drop_claims, sql::own_claims, sql::has_suspect, sql::next_parked, sql::audit_pages,
                                    sql::pause_held_keys, sql::cli_status_claims, sql::claim_limited, sql::lower_held}) {
      const std::string_view name = source.name;
      CAPTURE(name);
      CHECK_NOTHROW(b.db.exec("PREPARE probe AS " + std::string(set.render(source).text)));
    }
  }
}

TEST_CASE("adopted jobs: inserted, claimed once, completed in the table's own word") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    const Ids before = b.insert(2);
    b.serve();  // what waited already is filed
    b.exec("SELECT 1");
    if (std::string_view(fixture.map) == "prisma") b.exec("DELETE FROM {t}");
    Ids expected = std::string_view(fixture.map) == "prisma" ? Ids{} : before;
    const Ids more = b.insert(3);
    expected.insert(expected.end(), more.begin(), more.end());
    const NodeIdentity node = b.node();
    const auto claimed = b.claim(node);
    CHECK(ids_of(claimed) == sorted(expected));
    CHECK(b.claim(node).empty());
    CHECK(claimed.front().job.job_type == "noop");
    CHECK(claimed.front().job.attempt == 1);
    CHECK(b.status(more[0]) == fixture.words[1]);
    const auto owned = b.await(b.jobs->own_claims(node));
    REQUIRE(owned.size() == 1);
    CHECK(sorted(owned[0].ids) == sorted(expected));
    CHECK(sorted(b.complete(claimed)) == sorted(expected));
    CHECK(b.status(more[0]) == fixture.words[2]);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text <> {completed}") == 0);
    CHECK(b.number("SELECT count(*) FROM {job}") + b.number("SELECT count(*) FROM {claim}") + b.number("SELECT count(*) FROM {ready}") == 0);
    CHECK(b.complete(claimed).empty());
    CHECK(sorted(b.await(b.jobs->finish_verify([&] {
      std::vector<EndedJob> ended(claimed.size());
      for (std::size_t i = 0; i < claimed.size(); ++i) ended[i].job = claimed[i].job;
      return ended;
    }()))) == sorted(expected));
  }
}

TEST_CASE("adopted jobs: hints are filed with our rights, whatever the inserter's search path says") {
  AdoptionBench b("rails");
  b.serve();
  b.db.exec(
      "CREATE SCHEMA evil; CREATE TABLE evil.used (what text); CREATE TABLE evil.fresh (LIKE shop.background_jobs);"
      "GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT INSERT ON evil.used TO PUBLIC;"
      "CREATE FUNCTION evil.note(w pg_catalog.text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.used VALUES (w); RETURN true; END $$;"
      "CREATE FUNCTION evil.note_text(pg_catalog.text, pg_catalog.text) RETURNS bool LANGUAGE sql AS $$ SELECT evil.note('=') $$;"
      "CREATE FUNCTION evil.note_time(pg_catalog.timestamptz, pg_catalog.timestamptz) RETURNS bool LANGUAGE sql AS $$ SELECT evil.note('<=') $$;"
      "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.note_text);"
      "CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.note_time);"
      "CREATE FUNCTION evil.timezone(text, timestamp) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('zone'); RETURN now(); END $$;"
      "CREATE DOMAIN evil.bool AS pg_catalog.bool CHECK (evil.note('bool')); CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.note('text'));"
      "CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (evil.note('timestamptz'));"
      "CREATE DOMAIN evil.int2 AS pg_catalog.int2 CHECK (evil.note('int2'))");
  b.db.exec(
      "SET search_path = evil, pg_catalog; INSERT INTO shop.background_jobs (handler, run_at) VALUES ('noop', '2020-01-01');"
      "INSERT INTO shop.background_jobs (handler, run_at) VALUES ('noop', '2999-01-01')");
  CHECK(b.value("SELECT coalesce(string_agg(DISTINCT what, ' '), '') FROM evil.used") == "");
  CHECK(b.number("SELECT count(*) FROM {ready}") == 1);
  CHECK(b.number("SELECT count(*) FROM {parked}") == 1);
}

TEST_CASE("adopted jobs: inserts are filed whatever else the table's columns are called, and where PL/pgSQL is told to be strict") {
  AdoptionBench b("job_queue");
  b.db.exec("ALTER TABLE public.job_queue ADD v_now text DEFAULT 'x', ADD v_plain text DEFAULT 'x', ADD q text, ADD f text, ADD fresh text, ADD missing text");
  b.serve();
  b.db.exec("SET plpgsql.extra_errors = 'all'; INSERT INTO public.job_queue (job_type) VALUES ('a'), ('b');"
            "INSERT INTO public.job_queue (job_type, scheduled_at) VALUES ('c', NULL), ('d', '2999-01-01'), ('e', now())");
  CHECK(b.number("SELECT count(*) FROM {ready}") == 4);
  CHECK(b.number("SELECT count(*) FROM {parked}") == 1);
}

TEST_CASE("adopted jobs: one that is put off, moved, ended or deleted before its time leaves no hint until then") {
  for (const char* map : {"job_queue", "rails"}) {
    CAPTURE(map);
    AdoptionBench b(map);
    b.serve();
    const std::string due = map == std::string_view("rails") ? "run_at" : "scheduled_at";
    const Ids ids = b.insert(4);
    b.exec("DELETE FROM {ready}; SET rowcrew.engine = ''; UPDATE {t} SET " + due + " = now() + interval '1 day'");
    const std::string before = b.value("SELECT min(run_at) FROM {parked}");
    b.exec("SET rowcrew.engine = ''; UPDATE {t} SET " + due + " = now() + interval '2 days' WHERE {id}::text = '" + ids[0] + "';"
           "UPDATE {t} SET {s} = {failed} WHERE {id}::text = '" + ids[1] + "'; DELETE FROM {t} WHERE {id}::text = '" + ids[2] + "'");
    CHECK(b.number("SELECT count(*) FROM {parked}") == 2);
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE run_at = '" + before + "'") == 1);
    b.query("INSERT INTO rowcrew.cancel_request (job_table, job_id, job_key) SELECT $1, rowcrew.job_uuid($1, {id}), {id}::text FROM {t} WHERE {id}::text = $2",
            Params{}.add(b.fixture.name).add(ids[3]));
    CHECK(b.await(b.control->settle_cancels(10)).size() == 1);
    b.exec("SET rowcrew.engine = ''; UPDATE {t} SET " + due + " = now()");
    CHECK(b.number("SELECT count(*) FROM {parked}") == 0);
    CHECK(b.hints(ids[0]) == "ready");
  }
}

TEST_CASE("adopted jobs: one that backs off and is given up by its application leaves no hint, also without a column for its time") {
  AdoptionBench b("jobs");
  b.serve();
  const Ids ids = b.insert(2);
  for (int i = 0; i < 2; ++i) b.end(b.claim(b.node(), 1), Outcome(Retry("flaky", "not yet", std::chrono::hours(1))));
  REQUIRE(b.number("SELECT count(*) FROM {parked} WHERE reason = 'backoff'") == 2);
  b.exec("SET rowcrew.engine = ''; UPDATE {t} SET {s} = {failed} WHERE {id}::text = '" + ids[0] + "'; DELETE FROM {t} WHERE {id}::text = '" + ids[1] + "'");
  CHECK(b.number("SELECT count(*) FROM {parked}") == 0);
}

TEST_CASE("adopted jobs: columns with collations of their own are read like any others") {
  AdoptionBench b("job_queue");
  b.db.exec("ALTER TABLE public.job_queue ALTER job_type TYPE text COLLATE \"POSIX\", ALTER status TYPE text COLLATE \"POSIX\","
            " ADD queue text COLLATE \"POSIX\", ADD tenant text COLLATE \"ucs_basic\"");
  std::string text = b.map_text();
  const std::string columns = "columns:\n";
  text.insert(text.find(columns) + columns.size(), "  queue: queue\n  tenant: tenant\n");
  const CommandAnswer answer = b.adopt(text);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  b.reopen();
  b.query("SELECT rowcrew.limit_set('tenants', p_queue => 'default', p_type => 'noop', p_by => 'tenant', p_running => 0)");
  b.query("INSERT INTO public.job_queue (job_type, queue, tenant) VALUES ('noop', NULL, NULL), ('noop', 'default', NULL), ('noop', 'default', 'a')");
  const auto claimed = b.claim(b.node());
  REQUIRE(claimed.size() == 2);
  CHECK(b.number("SELECT count(*) FROM {limited}") == 1);
  CHECK(b.await(b.control->paused_among({claimed[0].job.id})).empty());
  CHECK(b.await(b.control->shelve("default", 10)) == 0);
  CHECK(b.complete({claimed[0]}).size() == 1);
  CHECK(b.end({claimed[1]}, Retry("again", "once more", 0ms)).size() == 1);
  CHECK(b.claim(b.node()).size() == 1);
  CHECK(b.rowcrew({"why", "public_job_queue:" + claimed[0].job.id}).code == 0);
}

TEST_CASE("adopted jobs: a status of fixed length is the text without its blanks") {
  AdoptionBench b("job_queue");
  b.db.exec("ALTER TABLE public.job_queue ALTER status TYPE char(20), ADD queue char(9) DEFAULT 'default'");
  std::string text = b.map_text();
  text.insert(text.find("columns:\n") + 9, "  queue: queue\n");
  REQUIRE(b.adopt(text).code == 0);
  b.reopen();
  const std::string id = b.insert(1)[0];
  CHECK(b.hints(id) == "ready");
  CHECK(b.end(b.claim(b.node()), Outcome(Retry("x", "y", 0ms))).size() == 1);
  b.exec("UPDATE {t} SET {s} = {pending}");
  CHECK(b.complete(b.claim(b.node())) == Ids{id});
  CHECK(b.status(id) == "completed");
}

TEST_CASE("adopted jobs: braces of a payload's own mean nothing to us") {
  AdoptionBench b("job_queue");
  std::string text = b.map_text();
  text.replace(text.find("payload: payload"), 16, "payload: \"to_jsonb(payload #>> '{priority}')\"");
  const CommandAnswer answer = b.adopt(text);
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  b.reopen();
  b.query("INSERT INTO {t} (job_type, payload) VALUES ('noop', '{\"priority\": \"high\"}')");
  const auto claimed = b.claim(b.node());
  REQUIRE(claimed.size() == 1);
  CHECK(claimed[0].job.payload == "\"high\"");
}

TEST_CASE("adopted jobs: what the application sees of a completed one is what its own worker would have written") {
  {
    AdoptionBench b("jobs");
    b.serve();
    b.insert(1);
    b.complete(b.claim(b.node()));
    CHECK(b.value("SELECT concat_ws('|', status, retry_count, started_at IS NOT NULL, completed_at IS NOT NULL, processing_time_ms IS NOT NULL,"
                  " worker_id ~ '^rowcrew/[0-9]+$', abs(extract(epoch FROM completed_at - (now() AT TIME ZONE 'UTC'))) < 60) FROM {t}") == "completed|1|t|t|t|t|t");
  }
  {
    AdoptionBench b("prisma");
    b.serve();
    b.insert(1);
    b.complete(b.claim(b.node()));
    CHECK(b.value("SELECT concat_ws('|', \"status\", \"attemptCount\", \"updatedAt\" > now() AT TIME ZONE 'UTC' - interval '1 minute') FROM {t}") == "COMPLETED|1|t");
  }
  {
    AdoptionBench b("rails");
    b.serve();
    b.insert(1);
    const auto claimed = b.claim(b.node());
    CHECK(b.value("SELECT concat_ws('|', state, locked_at IS NOT NULL, locked_by ~ '^rowcrew/') FROM {t}") == "running|t|t");
    b.complete(claimed);
    CHECK(b.value("SELECT concat_ws('|', state, attempts, locked_at IS NULL, locked_by IS NULL) FROM {t}") == "done|0|t|t");
  }
}

TEST_CASE("adopted jobs: a retry waits in the table's waiting word and comes back with one attempt more") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const NodeIdentity node = b.node();
    CHECK(b.end(b.claim(node), Outcome(Retry("flaky", "not yet", 60'000ms))) == Ids{id});
    CHECK(b.status(id) == (std::string_view(fixture.map) == "job_queue" ? "retrying" : fixture.words[0]));
    CHECK(b.hints(id) == "parked:backoff");
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
    CHECK(b.value("SELECT concat_ws('|', job_key, outcome, attempt) FROM rowcrew.job_attempt") == id + "|retry|1");
    b.await(b.jobs->promote(100));
    CHECK(b.claim(node).empty());
    // A hint too many does not make it run early.
    b.exec("INSERT INTO {ready} SELECT '2000-01-01', id, priority, queue FROM {parked}");
    CHECK(b.claim(node).empty());
    let_pass(b);
    const auto again = b.claim(node);
    REQUIRE(again.size() == 1);
    CHECK(again[0].job.attempt == 2);
    b.end(again, Outcome(Failed("broken", "for good")));
    CHECK(b.status(id) == fixture.words[3]);
    CHECK(b.value("SELECT concat_ws('|', status, error_code, attempts) FROM {job}") == "failed|broken|2");
  }
}

TEST_CASE("adopted jobs: a job cancelled where the table has no word for it fails there, and is cancelled here") {
  AdoptionBench b("django");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.end(b.claim(b.node()), Outcome(Cancelled("by a person")));
  CHECK(b.status(id) == "failed");
  CHECK(b.value("SELECT status FROM {job}") == "cancelled");
}

TEST_CASE("adopted jobs: handed back and unserved ones cost no attempt and no conflict") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const NodeIdentity node = b.node();
    auto claimed = b.claim(node);
    CHECK(b.await(b.jobs->hand_back(claimed[0].job.claim_token, node.node_id)) == 1);
    CHECK(b.status(id) == fixture.words[0]);
    CHECK(b.hints(id) == "ready");
    claimed = b.claim(node);
    REQUIRE(claimed.size() == 1);
    std::vector<Job> unserved{claimed[0].job};
    b.await(b.jobs->park_unserved(unserved, {claimed[0].job.claim_token}, 30'000ms));
    CHECK(b.hints(id) == "parked:scheduled");
    let_pass(b);
    claimed = b.claim(node);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].job.attempt == 1);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted jobs: those of a dead node are rescued, then run alone, and fail as poison after three lonely deaths") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    NodeIdentity node = b.node();
    REQUIRE(b.claim(node).size() == 1);
    ClaimWant want;
    want.queue = "default";
    want.count = 5;
    for (int death = 0; death < 5; ++death) {
      CAPTURE(death);
      b.exec("UPDATE rowcrew.node SET dead = true");
      const ReapedPage reaped = b.await(b.jobs->reap(3, 0));
      REQUIRE(reaped.jobs.size() == 1);
      CHECK(reaped.jobs[0].id == id);
      CHECK(reaped.jobs[0].status == (death < 4 ? "retrying" : "failed"));
      CHECK(b.await(b.jobs->reap(3, 0)).last_token == 0);
      if (death == 4) break;
      CHECK(b.hints(id) == (death == 0 ? "parked:rescued" : "parked:suspect"));
      node = b.node();
      CHECK(b.claim(node).empty());
      const JobTable::Due due = b.await(b.jobs->has_suspect({"default"}));
      CHECK(due.rescued == (death == 0));
      CHECK(due.suspect == (death > 0));
      if (death == 0) {
        const auto claimed = b.await(b.jobs->claim_rescued({b.next_token++, b.next_token++}, node, {want}));
        REQUIRE(claimed.size() == 1);
        CHECK(claimed[0].job.crashes == 1);
      } else {
        REQUIRE(b.await(b.jobs->claim_suspect(b.next_token++, node, {"default"})).size() == 1);
      }
    }
    CHECK(b.status(id) == fixture.words[3]);
    CHECK(b.value("SELECT concat_ws('|', error_code, crashes, lonely_crashes) FROM {job}") == "poison|5|3");
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted jobs: deleted under a running worker, they are lost to it and leave nothing") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(2);
  const NodeIdentity node = b.node();
  const auto claimed = b.claim(node);
  b.exec("DELETE FROM {t} WHERE id = '" + claimed[0].job.id + "'");
  const auto lost = b.await(b.jobs->lost_running({claimed[0].job, claimed[1].job}));
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].id == claimed[0].job.id);
  CHECK(lost[0].token == claimed[0].job.claim_token);
  CHECK(lost[0].status == "deleted");
  CHECK(b.complete(claimed) == Ids{claimed[1].job.id});
  CHECK(b.number("SELECT count(*) FROM {job}") + b.number("SELECT count(*) FROM {claim}") == 0);
}

TEST_CASE("adopted jobs: cancelled by the application while they run, they stay cancelled") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  const auto claimed = b.claim(b.node());
  b.exec("UPDATE {t} SET status = 'cancelled'");
  CHECK(b.await(b.jobs->lost_running({claimed[0].job})).size() == 1);
  CHECK(b.complete(claimed).empty());
  CHECK(b.status(id) == "cancelled");
}

TEST_CASE("adopted jobs: the audit finds a missing hint and a claim that is not there, and heals both") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const Ids ids = b.insert(2);
    const auto claimed = b.claim(b.node(), 1);
    REQUIRE(claimed.size() == 1);
    b.exec("DELETE FROM {ready}; DELETE FROM {claim}");
    const std::int64_t pages = b.await(b.jobs->audit_pages()).pages;
    const Ids found = b.await(b.jobs->audit_find(0, pages));
    CHECK(sorted(found) == sorted(ids));
    CHECK(sorted(b.await(b.jobs->audit_heal(found))) == sorted(ids));
    CHECK(b.await(b.jobs->audit_find(0, pages)).empty());
    let_pass(b);
    CHECK(b.claim(b.node()).size() == 2);
  }
}

TEST_CASE("adopted jobs: what comes after a backlog that the application deleted or ended does not wait for its hints to be read") {
  for (const char* undo : {"DELETE FROM {t}", "UPDATE {t} SET {s} = {failed}"}) {
    CAPTURE(undo);
    AdoptionBench b("prisma");
    b.serve();
    b.insert(3'000);
    b.exec(undo);
    b.exec("INSERT INTO {t} (id, \"updatedAt\") VALUES ('last', '2020-01-01')");
    const NodeIdentity node = b.node();
    Ids claimed;
    int claims = 0;
    for (; claimed.empty() && claims < 10; ++claims) claimed = ids_of(b.claim(node, 8));
    CHECK(claimed == Ids{"last"});
    CHECK(b.number("SELECT count(*) FROM {ready}") == 0);
  }
}

TEST_CASE("adopted jobs: a locked row is stepped around by the slow claim") {
  AdoptionBench b("jobs");
  b.serve();
  const Ids ids = b.insert(3);
  AdoptionBench* bench = &b;
  auto work = [&](Tx& tx) {
    tx.exec(Statement{"lock", "SELECT FROM public.jobs WHERE id = (SELECT id FROM public.jobs ORDER BY id LIMIT 1) FOR UPDATE"});
    ClaimWant want;
    want.queue = "default";
    want.count = 10;
    CHECK_THROWS_AS(bench->claim(bench->node()), DbError);
    const auto claimed = bench->await(bench->jobs->claim_unlocked(bench->next_token++, bench->node(), {want}));
    CHECK(claimed.size() == 2);
  };
  run_once(b.db.options(), TxMode::transaction, work);
  CHECK(b.claim(b.node()).size() == 1);
}
