// The commands on real databases, called as main() calls them.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/cipher.hpp"
#include "cli_bench.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

}  // namespace

TEST_CASE("without a schema every command says what to run, and migrate runs it" * with_roles()) {
  const TempDatabase db(TempDatabase::Content::empty);
  CliBench cli(db.url());
  for (const char* const command : {"status", "takeover", "tail"}) {
    CAPTURE(command);
    CHECK(cli.run({command}) == 78);
    CHECK(cli.err().find("run: rowcrew migrate") != std::string::npos);
  }
  CHECK(cli.run({"enqueue", "mail"}) == 78);
  CHECK(cli.run({"migrate", "--dry-run"}) == 0);
  CHECK(cli.out().find("would apply 0001_ground.pre\n") != std::string::npos);
  CHECK(db.value("SELECT to_regnamespace('rowcrew') IS NULL") == "t");
  CHECK(cli.run({"migrate"}) == 0);
  CHECK(cli.out().find("applied 0001_ground.pre in ") != std::string::npos);
  CHECK(cli.out().find("schema: version ") != std::string::npos);
  CHECK(cli.run({"migrate"}) == 0);
  CHECK(cli.out().ends_with(", nothing applied\n"));
  CHECK(cli.run({"migrate", "--dry-run", "--roles=none"}) == 0);
  CHECK(cli.out().empty());
  CHECK(cli.run({"status"}) == 0);
}

TEST_CASE("a name that an up-to-date schema lacks is told as the server says it, of an older one what to run" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  db.exec("ALTER FUNCTION rowcrew.why(uuid) RENAME TO gone");
  const std::vector<std::string> why = {"why", "00000000-0000-7000-8000-000000000001"};
  CHECK(cli.run(why) == 1);
  CHECK(cli.err().find("function rowcrew.why(uuid) does not exist") != std::string::npos);
  db.exec("UPDATE rowcrew.meta SET schema_version = schema_version - 1");
  CHECK(cli.run(why) == 78);
  CHECK(cli.err().find("run: rowcrew migrate") != std::string::npos);
}

TEST_CASE("the pre steps alone leave post steps for later, and roles can be left out" * with_roles()) {
  const TempDatabase db(TempDatabase::Content::empty);
  CliBench cli(db.url());
  CHECK(cli.run({"migrate", "--step=pre", "--roles=none"}) == 0);
  CHECK(db.value("SELECT count(*) FROM rowcrew.schema_migration WHERE step = 'post'") == "0");
  CHECK(db.value("SELECT has_schema_privilege('rowcrew_ingest', 'rowcrew', 'USAGE')") == "f");
}

TEST_CASE("migrate --sql prints a script and needs no database") {
  CliBench cli("postgresql:///nowhere?host=/nonexistent");
  CHECK(cli.run({"migrate", "--sql"}) == 0);
  CHECK(cli.out().find("CREATE TABLE rowcrew.job_queue") != std::string::npos);
  CHECK(cli.out().find("CREATE ROLE") != std::string::npos);
  CHECK(cli.run({"migrate", "--sql", "--roles=none"}) == 0);
  CHECK(cli.out().find("CREATE ROLE") == std::string::npos);
}

TEST_CASE("a server that is not there is 69, in one line") {
  CliBench cli("postgresql:///nowhere?host=/nonexistent");
  CHECK(cli.run({"status"}) == 69);
  const std::string text = cli.err();
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("enqueue prints the id of a job that has every option it was given") {
  const TempDatabase db;
  CliBench cli(db.url());
  CHECK(cli.run({"enqueue", "mail", "--payload", "{\"to\": 18446744073709551616}", "--queue",
                 "slow", "--priority", "1", "--delay", "1h", "--max-attempts", "2", "--unique-key",
                 "k"}) == 0);
  const std::string id = cli.out().substr(0, 36);
  const Rows rows = db.query(
      "SELECT job_type, payload::text, queue, priority, max_attempts, unique_key,"
      " scheduled_at > now() + interval '59 min' FROM rowcrew.job_queue WHERE id = $1::uuid",
      Params{}.add(id));
  REQUIRE(rows.size() == 1);
  CHECK(rows.text(0, 0) == "mail");
  CHECK(rows.text(0, 1) == "{\"to\": 18446744073709551616}");
  CHECK(rows.text(0, 2) == "slow");
  CHECK(rows.text(0, 3) == "1");
  CHECK(rows.text(0, 4) == "2");
  CHECK(rows.text(0, 5) == "k");
  CHECK(rows.boolean(0, 6));
  CHECK(cli.run({"enqueue", "mail", "--unique-key", "k", "--json"}) == 0);
  CHECK(json::parse(cli.out())["id"] == id);
  CHECK(cli.run({"enqueue", "mail", "--payload", "-"}, "{\"from\": \"stdin\"}") == 0);
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE payload->>'from' = 'stdin'") == "1");
  CHECK(cli.run({"enqueue", "mail", "--tenant", "acme"}) == 0);
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE tenant = 'acme'") == "1");
  CHECK(cli.run({"enqueue", "mail", "--payload", "{nonsense"}) == 64);
  CHECK(cli.run({"enqueue", "mail", "--payload", "\"\\u0000\""}) == 64);
  CHECK(cli.run({"enqueue", "mail", "--queue", ""}) == 64);
  CHECK(cli.err().find("job_queue_queue_check") != std::string::npos);
}

TEST_CASE("status counts hints, claims and the last minutes, per table and queue" * with_roles()) {
  const TempDatabase db;
  db.exec(R"(
    INSERT INTO rowcrew.job_queue (job_type, queue) SELECT 'a', 'mail' FROM generate_series(1, 3);
    INSERT INTO rowcrew.job_queue (job_type, queue, scheduled_at) SELECT 'a', q, now() + interval '1 hour' FROM unnest('{default, mail}'::text[]) q;
    INSERT INTO rowcrew.processing_jobs (type) VALUES ('image');
    INSERT INTO rowcrew.queue (name, paused) VALUES ('mail', true);
    SELECT rowcrew.pause('queue', 'mail'), rowcrew.pause('type', 'a');
    INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues)
      VALUES (1, 30000, 'gen-1', 'alpha', 7, '0.1.0', '{default,mail}'), (1, 30000, 'dead-1', 'beta', 8, '0.1.0', '{}');
    UPDATE rowcrew.node SET dead = true WHERE name = 'dead-1';
    INSERT INTO rowcrew.job_queue_claim (token, node_id, epoch, ids)
      SELECT 1, node_id, 1, ARRAY[gen_random_uuid(), gen_random_uuid()] FROM rowcrew.node WHERE name = 'gen-1';
    INSERT INTO rowcrew.node_stat (minute, node_id, job_table, job_type, completed, failed, retried, run_ms, run_ms_max)
      VALUES (date_trunc('minute', now()) - interval '1 min', 1, 'job_queue', 'a', 10, 1, 7, 1000, 900),
             (date_trunc('minute', now()) - interval '30 min', 1, 'job_queue', 'a', 100, 2, 0, 200, 5),
             (date_trunc('minute', now()) - interval '30 min', 1, 'job_queue', 'b', 1, 0, 0, 0, 0),
             (date_trunc('minute', now()) - interval '90 min', 1, 'job_queue', 'a', 100, 4, 9, 9999, 9999);
  )");
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  REQUIRE(cli.run({"status", "--json"}) == 0);
  const json all = json::parse(cli.out());
  REQUIRE(all["nodes"].size() == 1);
  CHECK(all["nodes"][0]["name"] == "gen-1");
  CHECK(all["nodes"][0]["claimed"] == 2);
  CHECK(all["nodes"][0]["queues"] == json{"default", "mail"});
  CHECK(all["paused"] == json::parse(R"([{"scope": "queue", "name": "mail"}, {"scope": "type", "name": "a"}])"));
  json table = all["tables"][0];
  CHECK(table["name"] == "job_queue");
  CHECK(table["claimed"] == 2);
  CHECK(table["completed_per_minute"] == 2.0);
  CHECK(table["failed_last_hour"] == 3);
  CHECK(table["types"] == json::parse(R"([
    {"name": "a", "completed_per_minute": 2.0, "failed_last_hour": 3, "retried_last_hour": 7, "mean_ms": 10, "longest_ms": 900},
    {"name": "b", "completed_per_minute": 0.0, "failed_last_hour": 0, "retried_last_hour": 0, "mean_ms": 0, "longest_ms": 0}])"));
  CHECK(table["counted_all"] == true);
  CHECK(table["queues"][0]["oldest_ready_ms"].is_null());
  CHECK(table["queues"][1]["oldest_ready_ms"] >= 0);
  for (json& queue : table["queues"]) queue.erase("oldest_ready_ms");
  CHECK(table["queues"] == json::parse(R"([
    {"name": "default", "ready": 0, "parked": {"scheduled": 1, "backoff": 0, "suspect": 0}},
    {"name": "mail", "ready": 3, "parked": {"scheduled": 1, "backoff": 0, "suspect": 0}}])"));
  CHECK(all["tables"][1]["queues"][0]["name"] == "generation");
  CHECK(cli.run({"status"}) == 0);
  CHECK(cli.out().find("gen-1") != std::string::npos);
  CHECK(cli.out().find("dead-1") == std::string::npos);

  REQUIRE(cli.run({"status", "--prometheus"}) == 0);
  CHECK(cli.out().find("\nrowcrew_table_claimed_jobs{table=\"job_queue\"} 2\n") != std::string::npos);
  CHECK(cli.run({"status", "--prometheus", "--json"}) == 64);
}

TEST_CASE(
    "a key is shown once, kept as a hash, listed, revoked, and each act is in the audit log" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  REQUIRE(cli.run({"key", "create", "--name", "shop", "--job-types", "mail, report"}) == 0);
  const std::string key = cli.out().substr(0, cli.out().size() - 1);
  CHECK(key.size() == 46);
  CHECK(db.value("SELECT key_hash FROM rowcrew.api_key") == sha256_hex(key));
  CHECK(db.value("SELECT job_types::text FROM rowcrew.api_key") == "{mail,report}");
  CHECK(db.value("SELECT name FROM rowcrew.ingest_key($1)", Params{}.add(sha256_hex(key))) ==
        "shop");
  CHECK(cli.run({"key", "create", "--name", "shop", "--job-types", "*"}) == 1);
  CHECK(cli.err().find("the name is taken") != std::string::npos);
  CHECK(cli.run({"key", "list"}) == 0);
  CHECK(cli.out().find("shop  mail,report") != std::string::npos);
  CHECK(cli.out().find(key) == std::string::npos);
  CHECK(cli.run({"key", "revoke", "shop"}) == 0);
  CHECK(db.value("SELECT count(*) FROM rowcrew.ingest_key($1)", Params{}.add(sha256_hex(key))) ==
        "0");
  CHECK(cli.run({"key", "revoke", "shop"}) == 1);
  CHECK(cli.run({"key", "list", "--json"}) == 0);
  CHECK(json::parse(cli.out())["revoked_at"].is_string());
  CHECK(db.value("SELECT string_agg(action || ' ' || target || ' ' || actor, '; ' ORDER BY id) "
                 "FROM rowcrew.audit_logs") ==
        "setting.insert api_key shop " + operators.name() + "; setting.update api_key shop " + operators.name());
  CHECK(
      db.value("SELECT count(*) FROM rowcrew.audit_logs WHERE metadata::text LIKE '%' || $1 || '%'",
               Params{}.add(key)) == "0");
}

TEST_CASE("a new key that cannot be shown is a failure that names it, so that it can be revoked") {
  const TempDatabase db;
  CliBench cli(db.url());
  cli.out_text.full = true;
  CHECK(cli.run({"key", "create", "--name", "shop", "--job-types", "mail"}) == 1);
  CHECK(cli.err().find("key shop: it is stored") != std::string::npos);
  CHECK(cli.run({"migrate", "--sql"}) == 1);
  CHECK(cli.err() == "rowcrew: standard output: not everything could be written to it\n");
  cli.out_text.full = false;
  CHECK(cli.run({"key", "revoke", "shop"}) == 0);
}

TEST_CASE("every setting that an operator changes by SQL is in the audit log, without secrets and what nodes note" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  const std::string secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  for (const std::string& sql : {
           std::string("UPDATE rowcrew.retention_policy SET enabled = true WHERE name = 'audit'"),
           std::string("INSERT INTO rowcrew.schedule (name, every_ms, job_type, payload) VALUES ('s', 60000, 'mail', '{\"card\": 4711}')"),
           std::string("INSERT INTO rowcrew.event_subscription VALUES ('e', '{job.failed}', NULL)"),
           std::string("INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ('k', repeat('a', 64), '{mail}')"),
           std::string("UPDATE rowcrew.preset SET is_active = false WHERE name = 'portrait_pro'"),
           "INSERT INTO rowcrew.webhook_endpoints (url, events, secret) VALUES ('https://shop.example', '{*}', '" + secret + "')",
           std::string("UPDATE rowcrew.webhook_endpoints SET enabled = false"),
           std::string("DELETE FROM rowcrew.schedule WHERE name = 's'"),
       }) {
    operators.query(sql);
  }
  db.exec("UPDATE rowcrew.retention_policy SET last_run_at = rowcrew.clock(), resume_after = 'x';"
          "UPDATE rowcrew.webhook_endpoints SET failing_since = rowcrew.clock()");
  CHECK(db.value("SELECT string_agg(concat(substr(action, 9), ' ', split_part(target, ' ', 1)), ', ' ORDER BY id)"
                 " FROM rowcrew.audit_logs WHERE actor = $1", Params{}.add(operators.name())) ==
        "update retention_policy, insert schedule, insert event_subscription, insert api_key, update preset, insert webhook_endpoints, "
        "update webhook_endpoints, delete schedule");
  CHECK(db.value("SELECT count(*) FROM rowcrew.audit_logs WHERE actor <> $1 OR metadata::text ~ 'whsec_|aaaa|4711'",
                 Params{}.add(operators.name())) == "0");
}

TEST_CASE("takeover shows what it found, asks, changes the home and writes it down") {
  const TempDatabase db;
  db.exec(
      "UPDATE rowcrew.meta SET home_database = 1;"
      "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues)"
      " VALUES (1, 30000, 'gen-1', 'alpha', 7, '0.1.0', '{}')");
  const std::string before = db.value("SELECT installation_id FROM rowcrew.meta");
  const auto unchanged = [&] {
    return db.value("SELECT installation_id FROM rowcrew.meta") == before;
  };
  CliBench cli(db.url());
  CHECK(cli.run({"takeover"}) == 64);  // nobody to ask, no --yes
  CHECK(cli.out().find(before) != std::string::npos);
  CHECK(cli.out().find("belongs to another server or database") != std::string::npos);
  CHECK(cli.out().find("1 nodes of the original") != std::string::npos);
  cli.interactive = true;
  CHECK(cli.run({"takeover"}, "no\n") == 1);
  CHECK(unchanged());
  CHECK(cli.run({"takeover"}, db.name() + "\n") == 0);
  CHECK_FALSE(unchanged());
  CHECK(db.value("SELECT dead FROM rowcrew.node") == "t");
  CHECK(db.value("SELECT metadata->>'from' FROM rowcrew.audit_logs WHERE action = "
                 "'installation.takeover'") == before);
  cli.interactive = false;
  CHECK(cli.run({"takeover", "--yes"}) == 0);
  CHECK(cli.out().find("nothing to take over") != std::string::npos);
  CHECK(cli.out().find("will be marked dead") == std::string::npos);
  CHECK(cli.run({"takeover", "--yes", "--force"}) == 0);
  CHECK(db.value("SELECT count(*) FROM rowcrew.audit_logs") == "2");
}

TEST_CASE("an emptied table of the installation: takeover leads out, where migrate finds nothing to do") {
  const TempDatabase db;
  const std::string version = db.value("SELECT schema_version FROM rowcrew.meta");
  db.exec("TRUNCATE rowcrew.meta");
  CliBench cli(db.url());
  CHECK(cli.run({"takeover", "--yes"}) == 0);
  CHECK(cli.out().find("rowcrew.meta is empty") != std::string::npos);
  CHECK(db.value("SELECT schema_version FROM rowcrew.meta") == version);
  CHECK(cli.run({"takeover", "--yes"}) == 0);
  CHECK(cli.out().find("at home here") != std::string::npos);
}

TEST_CASE("what a role may not do is 1 and says so" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  CHECK(cli.run({"key", "create", "--name", "x", "--job-types", "a"}) == 1);
  CHECK(cli.err().find("permission denied") != std::string::npos);
  CHECK(cli.out().empty());
}

}  // namespace rowcrew::testing
