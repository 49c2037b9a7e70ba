// rowcrew doctor on databases that were broken in each way that it knows, and mended by the line that it gives.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/doctor/reading.hpp"
#include "cli_bench.hpp"
#include "pg/statement_template.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

/// A database that a node works on, and what doctor tells of it.
class Ward {
 public:
  Ward() : cli_(db.url()) {
    db.exec(
        "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues, job_types)"
        " VALUES (1, 3600000, 'gen-1', 'alpha', 7, '0.1.0', '{default,generation}', '{email,retention}');"
        "UPDATE rowcrew.schedule SET changed_at = now()");
  }

  /// The findings, as "severity check: text | mend".
  std::vector<std::string> findings() {
    code = cli_.run({"doctor", "--json", "--skip", kOfTheServer});
    INFO(cli_.err());
    REQUIRE((code == 0 || code == 1));
    std::vector<std::string> lines;
    mends.clear();
    const json told = json::parse(cli_.out());
    for (const json& finding : told.at("findings")) {
      lines.push_back(finding.at("severity").get<std::string>() + " " + finding.at("check").get<std::string>() + ": " + finding.at("text").get<std::string>());
      mends.push_back(finding.at("mend").get<std::string>());
    }
    return lines;
  }

  /// That one and no other.
  bool tells(const std::string& part) {
    const auto lines = findings();
    const bool alone = lines.size() == 1 && lines.front().find(part) != std::string::npos;
    for (const std::string& line : lines) {
      if (!alone) MESSAGE(line);
    }
    if (lines.empty()) MESSAGE("nothing is told");
    return alone;
  }

  /// Whether the lines of the last answer mend it.
  bool mended() {
    for (const std::string& mend : std::vector<std::string>(mends)) {
      CAPTURE(mend);
      CHECK_NOTHROW(db.exec(mend.substr(0, mend.find(", after what"))));
    }
    const auto lines = findings();
    for (const std::string& line : lines) MESSAGE(line);
    return lines.empty() && code == 0;
  }

  /// What the test server is like is not this database's fault.
  static constexpr const char* kOfTheServer = "server.durability,server.connections";

  const TempDatabase db;
  std::vector<std::string> mends;
  int code = 0;

 private:
  CliBench cli_;
};

}  // namespace

TEST_CASE("doctor: of a healthy database a viewer is told nothing but what he may not see" * with_roles()) {
  Ward ward;
  CHECK(ward.findings().empty());
  CHECK(ward.code == 0);
  const LoginRole viewer(ward.db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  CHECK(cli.run({"doctor", "--strict", "--skip", Ward::kOfTheServer}) == 0);
  CHECK(cli.out().starts_with("not checked: server.horizon: snapshots of other roles' sessions: needs pg_read_all_stats\n"));
  CHECK(cli.out().ends_with(" checks, " + std::to_string(cli::doctor::all_checks().size() - 3) + " fine\n"));
  CHECK(cli.run({"doctor", "--quiet", "--skip", Ward::kOfTheServer}) == 0);
  CHECK(cli.out().empty());
}

TEST_CASE("doctor: who has no rights at all is told what was not checked, and which rights it takes" * with_roles()) {
  Ward ward;
  const LoginRole nobody(ward.db, "");
  CliBench cli(nobody.url());
  CHECK(cli.run({"doctor", "--json", "--skip", Ward::kOfTheServer}) == 1);
  const json told = json::parse(cli.out());
  CHECK(told.at("findings").empty());
  CHECK(told.at("not_checked").size() > 10);
  CHECK(cli.out().find("needs the rights of rowcrew_viewer (permission denied for schema rowcrew)") != std::string::npos);
  CHECK(cli.run({"doctor", "--quiet", "--skip", Ward::kOfTheServer}) == 1);
  CHECK(cli.out().find("needs the rights of rowcrew_viewer") != std::string::npos);  // silence would pass for health
}

TEST_CASE("doctor: a server that is not there is 69, an empty database a problem, a misspelt check a wrong command line") {
  CliBench away("postgresql:///nowhere?host=/nonexistent");
  CHECK(away.run({"doctor"}) == 69);
  CHECK(away.run({"doctor", "--skip", "fleet.node"}) == 64);
  CHECK(away.err().find("did you mean fleet.nodes?") != std::string::npos);
  CHECK(away.run({"doctor", "--list"}) == 0);
  CHECK(away.out().find("schema.indexes ") != std::string::npos);
  const TempDatabase db(TempDatabase::Content::empty);
  CliBench cli(db.url());
  CHECK(cli.run({"doctor", "--quiet", "--skip", Ward::kOfTheServer}) == 1);
  CHECK(cli.out() == "problem  schema.version: database " + db.name() + " has no schema rowcrew: nothing can be enqueued or run\n         rowcrew migrate\n");
}

TEST_CASE("doctor: warnings alone are 0, with --strict 1") {
  Ward ward;
  ward.db.exec("INSERT INTO rowcrew.pause (scope, name, since) VALUES ('type', 'email', now() - interval '8 days')");
  CHECK(ward.tells("warning fleet.pauses: type email is paused for 8d"));
  CHECK(ward.code == 0);
  CliBench cli(ward.db.url());
  CHECK(cli.run({"doctor", "--strict", "--skip", Ward::kOfTheServer}) == 1);
}

TEST_CASE("doctor: an older schema, an emptied table of the installation, a copy") {
  Ward ward;
  ward.db.exec("UPDATE rowcrew.meta SET home_database = 1");
  CHECK(ward.tells("problem schema.home: installation "));
  CHECK(ward.code == 1);
  ward.db.exec("UPDATE rowcrew.meta SET home_database = (SELECT database FROM rowcrew.here()), schema_version = schema_version - 1");
  CHECK(ward.tells("problem schema.version: the schema has version "));
  ward.db.exec("UPDATE rowcrew.meta SET schema_version = schema_version + 1, min_binary = 1000");
  CHECK(ward.tells("problem schema.version: the schema needs programs of version 1000"));
  ward.db.exec("TRUNCATE rowcrew.meta");
  CHECK(ward.tells("problem schema.meta: the row of rowcrew.meta is gone"));
  ward.db.exec("SELECT rowcrew.takeover(); UPDATE rowcrew.node SET dead = false");
  CHECK(ward.findings().empty());
}

TEST_CASE("doctor: each index that the migrations make is missed, and made again by the line that is told") {
  Ward ward;
  // Whatever a fresh schema has: the list that doctor compares with cannot be behind it.
  const auto dropped = std::stoul(ward.db.value(R"(
    WITH x AS (SELECT i.indexrelid, i.indrelid::regclass::text AS owner, k.conname
               FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
               WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition
                 AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid))
    SELECT count(*) FROM x)"));
  REQUIRE(dropped > 50);
  ward.db.exec(R"(
    DO $$ DECLARE v record; BEGIN
      FOR v IN SELECT i.indexrelid::regclass AS name, i.indrelid::regclass AS owner, k.conname
               FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
               WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition
                 AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid) LOOP
        EXECUTE CASE WHEN v.conname IS NULL THEN format('DROP INDEX %s', v.name) ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', v.owner, v.conname) END;
      END LOOP;
    END $$)");
  const auto lines = ward.findings();
  CHECK(lines.size() == dropped);
  for (const std::string& line : lines) CHECK(line.starts_with("problem schema.indexes: rowcrew."));
  CHECK(ward.code == 1);
  CHECK(ward.mended());
}

TEST_CASE("doctor: each trigger that the migrations make is missed, and made again as it was by the line that is told") {
  Ward ward;
  const char* all =
      "SELECT string_agg(translate(pg_get_triggerdef(t.oid), '()', '') || t.tgenabled::text, chr(10) ORDER BY t.tgrelid::regclass::text, t.tgname), count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
      " WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition AND NOT t.tgisinternal";
  const Rows before = ward.db.query(all);
  const std::string each = R"(
    DO $$ DECLARE v record; BEGIN
      FOR v IN SELECT t.tgname, t.tgrelid::regclass AS owner FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
               WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition AND NOT t.tgisinternal LOOP
        EXECUTE format('ACT', v.owner, v.tgname);
      END LOOP;
    END $$)";
  for (const char* act : {"ALTER TABLE %s DISABLE TRIGGER %I", "ALTER TABLE %s ENABLE REPLICA TRIGGER %I", "DROP TRIGGER %2$I ON %1$s"}) {
    CAPTURE(act);
    ward.db.exec(std::string(each).replace(each.find("ACT"), 3, act));
    const auto lines = ward.findings();
    CHECK(lines.size() == static_cast<std::size_t>(before.integer(0, 1)));
    for (const std::string& line : lines) CHECK(line.starts_with("problem schema.triggers: trigger "));
    CHECK(ward.mended());
    CHECK(ward.db.query(all).text(0, 0) == before.text(0, 0));
  }
  ward.db.exec("ALTER TABLE rowcrew.job_queue ENABLE TRIGGER rowcrew_changed");
  CHECK(ward.tells("warning schema.triggers: trigger rowcrew_changed of rowcrew.job_queue is not ENABLE ALWAYS"));
  CHECK(ward.mended());
}

TEST_CASE("doctor: an index that could not be made, and one of ours that is not valid any more") {
  Ward ward;
  ward.db.exec("INSERT INTO rowcrew.job_queue (job_type) VALUES ('a'), ('b')");
  CHECK_THROWS(ward.db.exec("CREATE UNIQUE INDEX CONCURRENTLY bad ON rowcrew.job_queue_ready (queue)"));
  CHECK(ward.tells("problem schema.indexes: index rowcrew.bad of rowcrew.job_queue_ready is not valid"));
  CHECK(ward.mended());
  const auto superuser = superuser_url(ward.db);
  if (!superuser) return;
  auto work = [](Tx& tx) {
    tx.exec(Statement{"t", "UPDATE pg_index SET indisvalid = false WHERE indrelid = 'rowcrew.job_queue_ready'::regclass"}, Params{});
  };
  PoolOptions options = ward.db.options();
  options.url = *superuser;
  run_once(options, TxMode::autocommit, work);
  CHECK(ward.findings().size() == 2);  // it is not valid, and there is no other
  ward.mends.resize(1);
  CHECK(ward.mends.front().starts_with("REINDEX INDEX CONCURRENTLY "));
  CHECK(ward.mended());
}

TEST_CASE("doctor: a table of ours that is gone") {
  Ward ward;
  ward.db.exec("DROP TABLE rowcrew.archive");
  const auto lines = ward.findings();
  REQUIRE_FALSE(lines.empty());  // where there are roles, their rights on it are gone, too
  CHECK(lines[0].find("problem schema.indexes: tables are missing in schema rowcrew: archive") == 0);
}

TEST_CASE("doctor: what was done to tables of ours is told and undone by the line that is told") {
  Ward ward;
  ward.db.exec("CREATE FUNCTION public.log_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
  const std::vector<std::pair<const char*, const char*>> deeds = {
      {"CREATE TRIGGER \"Log\" AFTER UPDATE ON rowcrew.job_queue FOR EACH ROW EXECUTE FUNCTION public.log_it()", "warning tables.triggers: rowcrew.job_queue has the trigger \"Log\""},
      {"CREATE RULE nothing AS ON DELETE TO rowcrew.job_queue_ready DO INSTEAD NOTHING", "problem tables.rules: rowcrew.job_queue_ready has the rule nothing"},
      {"ALTER TABLE rowcrew.job_queue ENABLE ROW LEVEL SECURITY", "problem tables.row_security: rowcrew.job_queue has row security"},
      {"ALTER TABLE rowcrew.job_queue_ready SET UNLOGGED", "problem tables.unlogged: rowcrew.job_queue_ready is UNLOGGED"},
      {"ALTER TABLE rowcrew.job_queue SET (autovacuum_enabled = off)", "warning tables.vacuum: autovacuum is switched off for rowcrew.job_queue"},
      {"CREATE TABLE public.orders (job uuid REFERENCES rowcrew.job_queue)", "warning tables.references: foreign key orders_job_fkey of public.orders refers to job_queue: retention keeps"},
      {"CREATE TABLE public.lines (job uuid REFERENCES rowcrew.job_queue ON DELETE CASCADE)", "of public.lines refers to job_queue: when retention removes a job, the rows"},
      {"DO $$ BEGIN EXECUTE format('DROP TABLE rowcrew.%I', 'job_event_' || to_char((now() + interval '7 days') AT TIME ZONE 'UTC', 'IYYY\"w\"IW')); END $$",
       "warning tables.partitions: job_event has no partition for next week"}};
  for (const auto& [deed, told] : deeds) {
    CAPTURE(deed);
    ward.db.exec(deed);
    CHECK(ward.tells(told));
    CHECK(ward.mended());
  }
  // No policy removes generations, and a reference that gives way is none of its business.
  ward.db.exec("CREATE TABLE public.shown (job uuid REFERENCES rowcrew.processing_jobs); CREATE TABLE public.loose (job uuid REFERENCES rowcrew.job_queue ON DELETE SET NULL)");
  CHECK(ward.findings().empty());
}

TEST_CASE("doctor: hints with many dead rows that nobody has vacuumed") {
  Ward ward;
  ward.db.exec("ALTER TABLE rowcrew.job_queue_parked SET (autovacuum_enabled = off)");
  ward.db.exec(
      "INSERT INTO rowcrew.job_queue_parked (run_at, id, priority, queue, reason) SELECT now() + interval '1 day', gen_random_uuid(), 5, 'default', 'scheduled' FROM generate_series(1, 110000)");
  ward.db.exec("DELETE FROM rowcrew.job_queue_parked");
  const auto seen = [&] {
    ward.db.query("SELECT pg_stat_clear_snapshot()");
    return ward.findings().size() == 2;
  };
  for (int tries = 0; tries < 200 && !seen(); ++tries) ward.db.query("SELECT pg_sleep(0.05)");  // the server counts a little later
  const auto lines = ward.findings();
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].find("warning tables.vacuum: rowcrew.job_queue_parked has about 110000 dead rows (an estimate) and was never vacuumed") == 0);
}

TEST_CASE("doctor: roles whose rights a restore did not bring, and as many rights as the migrations give" * with_roles()) {
  Ward ward;
  const cli::doctor::Facts facts = cli::doctor::read_facts(ward.db.options());
  for (const json& role : facts.of("rights").at("roles")) {
    CAPTURE(role.dump());
    for (const char* what : {"tables", "columns", "functions"}) CHECK(role.at(what) == role.at(std::string("has_") + what));
  }
  ward.db.exec("REVOKE SELECT ON rowcrew.job_limit FROM rowcrew_worker");
  CHECK(ward.tells("problem rights.roles: role rowcrew_worker lacks 1 of the rights"));
  ward.db.exec("REVOKE USAGE ON SCHEMA rowcrew FROM rowcrew_app");
  CHECK(ward.findings().size() == 2);
  CliBench cli(ward.db.url());
  CHECK(cli.run({ward.mends.front().substr(8)}) == 0);  // rowcrew migrate
  CHECK(ward.findings().empty());
}

TEST_CASE("doctor: a role whose sessions lose commits" * with_roles()) {
  Ward ward;
  const LoginRole app(ward.db, "rowcrew_app");
  const LoginRole stranger(ward.db, "");
  const std::string role = quote_identifier(app.name());
  ward.db.exec("ALTER ROLE " + role + " SET synchronous_commit = off; ALTER ROLE " + quote_identifier(stranger.name()) + " SET synchronous_commit = off");
  CHECK(ward.tells("warning server.role_settings: logins of " + app.name() + " are given synchronous_commit=off"));
  CHECK(ward.mended());
  ward.db.exec("ALTER ROLE " + role + " IN DATABASE " + quote_identifier(ward.db.name()) + " SET synchronous_commit = off");
  CHECK(ward.tells("warning server.role_settings: logins of " + app.name()));
  CHECK(ward.mended());
}

TEST_CASE("doctor: nobody works, or not for these") {
  Ward ward;
  ward.db.exec("INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('email', 'mial'), ('email', 'default'); INSERT INTO rowcrew.processing_jobs (type, queue) VALUES ('image', 'imgae')");
  auto lines = ward.findings();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "problem fleet.queues: jobs wait for queue imgae, which no live node serves");
  CHECK(lines[1] == "problem fleet.queues: jobs wait for queue mial, which no live node serves");
  ward.db.exec("UPDATE rowcrew.node SET last_seen = now() - interval '3 hours'");
  CHECK(ward.tells("problem fleet.nodes: no node is live (1 listed, the last beat was gen-1's, 3h ago)"));
  ward.db.exec("UPDATE rowcrew.node SET dead = true");
  CHECK(ward.tells("problem fleet.nodes: no node is live: nothing runs"));
}

TEST_CASE("doctor: jobs behind a rule wait for a queue, too") {
  Ward ward;
  ward.db.exec("SELECT rowcrew.limit_set('few', p_type => 'email', p_running => 1); INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('email', 'mial')");
  CHECK(ward.tells("problem fleet.queues: jobs wait for queue mial"));
}

TEST_CASE("doctor: nodes of which work only fails, and nodes of two versions") {
  Ward ward;
  ward.db.exec(R"(UPDATE rowcrew.node SET failing = '[{"work": "claims", "for_ms": 7000, "error": "no"}]')");
  CHECK(ward.tells("problem fleet.failing: some work of node gen-1 on alpha does nothing but fail"));
  ward.db.exec("UPDATE rowcrew.node SET failing = NULL, started_at = now() - interval '2 hours';"
               "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues, started_at) VALUES (1, 30000, 'gen-2', 'beta', 7, '0.2.0', '{default}', now() - interval '61 min')");
  CHECK(ward.tells("warning fleet.versions: nodes run programs of different versions for more than an hour: 0.1.0, 0.2.0"));
}

TEST_CASE("doctor: rules, schedules and policies that nobody sees to") {
  Ward ward;
  ward.db.exec("SELECT rowcrew.limit_set('few', p_queue => 'mial', p_running => 1)");
  CHECK(ward.tells("warning fleet.limits: limit few is about queue mial"));
  ward.db.exec("SELECT rowcrew.limit_remove('few'); SELECT rowcrew.limit_set('few', p_type => 'emial', p_running => 1)");
  CHECK(ward.tells("warning fleet.limits: limit few is about type emial"));
  ward.db.exec("SELECT rowcrew.limit_remove('few');"
               "INSERT INTO rowcrew.schedule (name, every_ms, job_type, created_at) VALUES ('late', 1000, 'email', now() - interval '1 hour');"
               "INSERT INTO rowcrew.schedule (name, cron, job_type, created_at, enabled) VALUES ('off', '* * * * *', 'email', now() - interval '1 hour', false)");
  CHECK(ward.tells("problem fleet.schedules: schedule late is overdue by 59m"));
  ward.db.exec("DELETE FROM rowcrew.schedule WHERE name = 'late'");
  ward.db.exec("UPDATE rowcrew.retention_policy SET changed_at = now() - interval '3 days', last_run_at = now() - interval '4 days'");
  CHECK(ward.findings().empty());  // the schedule has just been changed
  ward.db.exec("UPDATE rowcrew.schedule SET changed_at = NULL, created_at = now() - interval '4 days' WHERE name LIKE 'rowcrew.%';"
               "INSERT INTO rowcrew.tick (schedule, due_at, job_id) SELECT name, date_trunc('minute', now()), gen_random_uuid() FROM rowcrew.schedule");
  CHECK(ward.findings().size() == 8);  // no policy has come to an end
  ward.db.exec("UPDATE rowcrew.retention_policy SET last_run_at = now() WHERE name <> 'jobs'");
  CHECK(ward.tells("warning fleet.retention: retention policy jobs has not come to an end for 3d"));
  ward.db.exec("UPDATE rowcrew.retention_policy SET dry_run = true WHERE name = 'jobs'");
  CHECK(ward.findings().empty());  // it is not carried out
  ward.db.exec("UPDATE rowcrew.retention_policy SET dry_run = false WHERE name = 'jobs'");
  CHECK(ward.findings().empty());  // its first night is before it
  ward.db.exec("UPDATE rowcrew.schedule SET enabled = false");
  CHECK(ward.tells("warning fleet.retention: no enabled schedule enqueues jobs of type retention"));
}

TEST_CASE("doctor: endpoints that only fail, and one that was switched off for it") {
  Ward ward;
  ward.db.exec("INSERT INTO rowcrew.webhook_endpoints (url, events) VALUES ('https://example.com/token', '{job.completed}'); UPDATE rowcrew.webhook_endpoints SET failing_since = now() - interval '2 hours'");
  CHECK(ward.tells(" only fails for 2h: after five days it is switched off"));
  ward.db.exec("UPDATE rowcrew.webhook_endpoints SET enabled = false, disabled_reason = 'Failing for 5 days.', failing_since = now() - interval '2 hours'");
  CHECK(ward.tells(" is switched off (Failing for 5 days.): events are neither sent nor kept for it"));
  CHECK(ward.mended());
}

TEST_CASE("doctor: a session that holds a snapshot is seen") {
  Ward ward;
  bool seen = false;
  auto work = [&](Tx& tx) {
    const auto pid = tx.exec(Statement{"t", "SELECT pg_backend_pid(), pg_current_xact_id()"}, Params{}).integer(0, 0);
    const cli::doctor::Facts facts = cli::doctor::read_facts(ward.db.options());
    for (const json& one : facts.of("horizon").at("sessions")) {
      seen = seen || (one.at("pid") == pid && one.at("seconds") < 60 && one.at("mend") == "SELECT pg_terminate_backend(" + std::to_string(pid) + ")");
    }
  };
  PoolOptions direct = ward.db.options();
  direct.url = ward.db.url();
  direct.pooled = false;
  direct.direct_url.clear();
  run_once(direct, TxMode::transaction, work);
  CHECK(seen);
}

}  // namespace rowcrew::testing
