// How policies are carried out: dry runs, continuation, weekly partitions, rights, what is shipped.
#include <algorithm>

#include "../queue/held_transaction.hpp"
#include "retention_bench.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

void old_jobs(RetentionBench& b, int count) {
  b.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at) SELECT 't', 'completed', "
            "rowcrew.clock() - interval '2 days' FROM generate_series(1, " +
            std::to_string(count) + ")");
}

/// Attempts and events in old, live and default partitions.
void history(RetentionBench& b) {
  for (const char* week : {"2026-01-05", "2026-01-12"}) {
    for (const std::string table : {"job_attempt", "job_event"}) {
      const std::string name = "rowcrew." + table + "_" + std::string(week).substr(5, 2) +
                               std::string(week).substr(8);
      b.db.exec("CREATE TABLE " + name + " PARTITION OF rowcrew." + table + " FOR VALUES FROM ('" +
                week + "Z') TO (timestamptz '" + week + "Z' + interval '7 days')");
      if (!as_bare_owner()) b.db.exec("ALTER TABLE " + name + " OWNER TO rowcrew_owner");
    }
  }
  const auto fill = [&](const std::string& table, const std::string& columns,
                        const std::string& values) {
    b.db.exec("INSERT INTO rowcrew." + table + " (" + columns + ", job_table, job_id, job_type) SELECT " +
              values + ", 'job_queue', gen_random_uuid(), 't' FROM unnest(ARRAY['2026-01-06', "
              "'2026-01-07', '2026-01-13', '2025-06-01', '2026-02-20', '2026-05-01', '2026-05-31']) "
              "d, generate_series(1, 100) n");
  };
  fill("job_attempt", "ended_at, attempt, outcome", "(d || ' 10:00Z')::timestamptz, 1, 'failed'");
  fill("job_event", "at, event", "(d || ' 10:00Z')::timestamptz, 'a.b'");
}

std::string weeks(RetentionBench& b, const std::string& table) {
  return b.value("SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_inherits JOIN "
                 "pg_class ON oid = inhrelid WHERE inhparent = 'rowcrew." + table +
                 "'::regclass AND relname !~ '20..w'");
}

}  // namespace

TEST_CASE("retention: a dry run changes nothing and counts what a real run removes") {
  RetentionBench b(RetentionBench::Policies::shipped);
  b.db.exec("UPDATE rowcrew.retention_policy SET enabled = true, batch = 30, age = '40 days'");
  b.policy("twice", "job_queue", "1 day", "delete", ", dry_run, job_types", ", true, '{u}'");
  history(b);
  old_jobs(b, 5);
  b.db.exec("UPDATE rowcrew.job_queue SET job_type = 'u'");
  old_jobs(b, 100);
  b.db.exec("UPDATE rowcrew.job_queue SET completed_at = completed_at - interval '1 year' WHERE "
            "hashtext(id::text) % 3 = 0 AND job_type = 't'");
  b.db.exec("INSERT INTO rowcrew.processing_jobs (type, status, completed_at) SELECT 't', 'failed', "
            "rowcrew.clock() - n * interval '1 day' FROM generate_series(1, 80) n");
  b.db.exec("INSERT INTO rowcrew.node_stat (minute, node_id, job_table, job_type) SELECT "
            "rowcrew.clock() - n * interval '1 day', m, 'job_queue', t FROM generate_series(1, 80) n, "
            "generate_series(1, 2) m, unnest(ARRAY['a', 'b']) t");
  b.db.exec("INSERT INTO rowcrew.audit_logs (created_at, action, target) SELECT rowcrew.clock() - n * "
            "interval '1 day', 'x', 'y' FROM generate_series(1, 80) n");
  const std::string before = b.state();
  json dry = b.result(R"({"dry_run": true})");
  CHECK(b.state() == before);
  for (json& policy : dry) CHECK(policy.at("dry_run") == true);

  json real = b.result();
  CHECK(b.state() != before);
  REQUIRE(real.size() == dry.size());
  std::int64_t total = 0;
  for (const json& policy : real) {
    const auto same = std::find_if(dry.begin(), dry.end(), [&](const json& other) {
      return other.at("name") == policy.at("name");
    });
    REQUIRE(same != dry.end());
    CAPTURE(policy.at("name").get<std::string>());
    // Archived audits are new in the archive by the time of its turn, but not old.
    CHECK(policy.at("removed") == same->at("removed"));
    CHECK(policy.at("dry_run") == (policy.at("name") == "twice"));
    if (policy.at("dry_run") == false) total += policy.at("removed").get<std::int64_t>();
  }
  CHECK(total > 1'000);
  for (const json& policy : b.result()) {
    if (policy.at("dry_run") == false) CHECK(policy.at("removed") == 0);
  }
}

TEST_CASE("retention: old weeks are dropped whole, and the default partition is emptied by rows") {
  for (const std::string table : {"job_attempt", "job_event"}) {
    CAPTURE(table);
    RetentionBench b;
    history(b);
    // 2026-01-18 24:00 is the end of the second week: exactly 90 days before 2026-04-18.
    b.policy("old", table, "133 days 00:00:01");
    CHECK(b.removed() == 200 + 100);
    CHECK(weeks(b, table) == table + "_0112 " + table + "_default");
    b.db.exec("UPDATE rowcrew.retention_policy SET age = '133 days'");
    CHECK(b.removed() == 100);
    CHECK(weeks(b, table) == table + "_default");
    b.db.exec("UPDATE rowcrew.retention_policy SET age = '90 days'");
    CHECK(b.removed() == 100);
    CHECK(b.value("SELECT count(*) FROM rowcrew." + table) == "200");
    // Nodes go on writing.
    b.db.exec("SELECT rowcrew.ensure_partitions(2)");
    CHECK(b.removed() == 0);
  }
}

TEST_CASE("retention: a week that somebody reads for long is left to the next run") {
  RetentionBench b;
  history(b);
  b.policy("old", "job_attempt", "90 days");
  {
    HeldTransaction reader(b.db, "SELECT count(*) FROM rowcrew.job_attempt_0105");
    const Outcome outcome = b.go();
    REQUIRE(std::holds_alternative<Completed>(outcome));
    CHECK(b.value("SELECT to_regclass('rowcrew.job_attempt_0105') IS NOT NULL") == "t");
    CHECK(b.value("SELECT to_regclass('rowcrew.job_attempt_0112') IS NULL") == "t");
  }
  CHECK(b.removed() == 200);
  CHECK(weeks(b, "job_attempt") == "job_attempt_default");
}

TEST_CASE("retention: old months of the archive are dropped whole, and its default partition is emptied by rows") {
  RetentionBench b;
  for (const char* month : {"2026-01-01", "2026-02-01"}) {
    const std::string name = "rowcrew.archive_" + std::string(month).substr(0, 4) + "m" + std::string(month).substr(5, 2);
    b.db.exec("CREATE TABLE " + name + " PARTITION OF rowcrew.archive FOR VALUES FROM ('" + month + "Z') TO (timestamptz '" + month +
              "Z' + interval '1 month')");
    if (!as_bare_owner()) b.db.exec("ALTER TABLE " + name + " OWNER TO rowcrew_owner");
  }
  b.db.exec("INSERT INTO rowcrew.archive (archived_at, policy, source, id, row) SELECT (d || ' 10:00Z')::timestamptz, 'jobs', 'job_queue', "
            "gen_random_uuid(), '{}' FROM unnest(ARRAY['2026-01-01', '2026-01-31', '2026-02-10', '2025-12-31', '2026-03-05', '2026-05-31']) d, "
            "generate_series(1, 100)");
  const auto months = [&] {
    return b.value("SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = "
                   "'rowcrew.archive'::regclass AND relname ~ '2026m0[12]'");
  };
  b.policy("old", "archive", "120 days");  // 2026-02-01 00:00: older than that is January
  const json dry = b.result(R"({"dry_run": true})");
  CHECK(dry[0]["removed"] == 300);
  CHECK(months() == "archive_2026m01 archive_2026m02");
  CHECK(b.removed() == 300);
  CHECK(months() == "archive_2026m02");
  CHECK(b.value("SELECT string_agg(DISTINCT archived_at::date::text, ' ') FROM rowcrew.archive") == "2026-02-10 2026-03-05 2026-05-31");
}

TEST_CASE("retention: a week that something of the application's depends on is kept and counted, those behind it go") {
  RetentionBench b;
  history(b);
  b.db.exec("CREATE VIEW public.january AS SELECT * FROM rowcrew.job_attempt_0105");
  b.policy("old", "job_attempt", "90 days");
  const json done = b.result();
  CHECK(done[0]["kept"] == 200);
  CHECK(done[0]["removed"] == 100 + 200);
  CHECK(weeks(b, "job_attempt") == "job_attempt_0105 job_attempt_default");
  b.db.exec("DROP VIEW public.january");
  CHECK(b.removed() == 200);
}

TEST_CASE("retention: a week that would take long to count is dropped uncounted") {
  RetentionBench b;
  history(b);
  b.db.exec("INSERT INTO rowcrew.job_attempt (ended_at, job_table, job_id, job_type, attempt, outcome, error_message) SELECT '2026-01-06 10:00Z', "
            "'job_queue', gen_random_uuid(), 't', 1, 'failed', repeat('x', 1900) FROM generate_series(1, 36000)");
  b.db.exec("ANALYZE rowcrew.job_attempt_0105");
  b.db.exec("DELETE FROM rowcrew.job_attempt_0105 WHERE ended_at = '2026-01-06 10:00Z' AND hashtext(job_id::text) % 4 = 0");
  b.policy("old", "job_attempt", "90 days");
  // What the server last counted, which was before that.
  CHECK(b.removed() == 36'000 + 200 + 100 + 200);
}

TEST_CASE("retention: a run that comes near its deadline goes on where it was, to the end") {
  RetentionBench b;
  b.policy("a", "job_queue", "1 day", "archive", ", batch", ", 10");
  b.policy("b", "job_queue", "3 days", "delete", ", batch", ", 50");
  old_jobs(b, 35);
  std::int64_t runs = 1;
  Outcome outcome = b.go("{}", 1s);  // one page
  CHECK(b.value("SELECT count(*) FROM rowcrew.archive") == "10");
  CHECK(b.value("SELECT resume_after IS NOT NULL FROM rowcrew.retention_policy WHERE name = 'a'") == "t");
  for (; std::holds_alternative<Snooze>(outcome) && runs < 20; ++runs) outcome = b.go("{}", 1s);
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(runs == 5);  // four pages of a, one of b
  CHECK(b.value("SELECT string_agg(name || last_deleted, ' ' ORDER BY name) FROM "
                "rowcrew.retention_policy WHERE resume_after IS NULL") == "a35 b0");
  // The same job, started anew by hand, does everything again.
  CHECK(b.result().size() == 2);
  b.job.id = "018f4e2a-0000-7000-8000-000000000002";
  CHECK(b.result().size() == 2);
}

TEST_CASE("retention: a node removes through policies only" * with_roles()) {
  RetentionBench b;
  b.policy("old", "job_queue", "1 day");
  b.policy("off", "processing_jobs", "1 day");
  b.db.exec("UPDATE rowcrew.retention_policy SET enabled = false WHERE name = 'off'");
  old_jobs(b, 5);
  const LoginRole node(b.db, "rowcrew_worker");
  const auto as_worker = [&](const std::string& sql) { return node.query(sql).size(); };
  for (const char* refused :
       {"DELETE FROM rowcrew.job_queue", "DELETE FROM rowcrew.audit_logs",
        "SELECT FROM rowcrew.archive", "UPDATE rowcrew.retention_policy SET age = '2 minutes'",
        "DROP TABLE rowcrew.job_attempt_default",
        "SELECT rowcrew.retention_keyed(p, false, NULL) FROM rowcrew.retention_policy p"}) {
    CAPTURE(refused);
    CHECK_THROWS_AS(as_worker(refused), Error);
  }
  CHECK(as_worker("SELECT rowcrew.retention_page('off', false, NULL, NULL)") == 0);
  CHECK(as_worker("SELECT rowcrew.retention_page('off', true, NULL, NULL)") == 1);
  CHECK(as_worker("SELECT rowcrew.retention_page('old', false, NULL, NULL)") == 1);
  CHECK(b.value("SELECT count(*) FROM rowcrew.job_queue") == "0");
}

TEST_CASE("retention: policies that make no sense are refused by the table") {
  RetentionBench b;
  CHECK_THROWS_AS(b.policy("short", "job_queue", "1 minute"), Error);
  CHECK_THROWS_AS(b.policy("where", "meta", "1 day"), Error);
  CHECK_THROWS_AS(b.policy("weeks", "job_event", "1 day", "archive"), Error);
  CHECK_THROWS_AS(b.policy("round", "archive", "1 day", "archive"), Error);
  CHECK_THROWS_AS(b.policy("live", "job_queue", "1 day", "delete", ", statuses", ", '{pending}'"), Error);
  CHECK_THROWS_AS(b.policy("types", "audit_logs", "1 day", "delete", ", job_types", ", '{t}'"), Error);
  CHECK_THROWS_AS(b.policy("page", "job_queue", "1 day", "delete", ", batch", ", 10001"), Error);
}

TEST_CASE("retention: what is shipped removes on its own only what nobody can still need") {
  RetentionBench b(RetentionBench::Policies::shipped);
  CHECK(b.value("SELECT string_agg(concat_ws(' ', name, age, action), ', ' ORDER BY name) FROM "
                "rowcrew.retention_policy WHERE enabled") ==
        "attempts 90 days delete, drive_poll_done 01:00:00 delete, events 30 days delete, "
        "jobs 90 days archive, node_stats 90 days delete, retention_done 7 days delete, "
        "usage_reset_done 01:00:00 delete, webhook_deliveries 30 days delete");
  CHECK(b.value("SELECT string_agg(concat_ws(' ', name, cron, zone, payload), ', ' ORDER BY name) FROM "
                "rowcrew.schedule WHERE enabled AND NOT overlap AND job_type = 'retention'") ==
        "rowcrew.retention 0 2 * * * UTC {}, rowcrew.retention.drive_poll 23 * * * * UTC "
        "{\"policy\": \"drive_poll_done\"}");
  old_jobs(b, 3);
  b.db.exec("UPDATE rowcrew.job_queue SET job_type = 'drive_poll'");
  CHECK(b.removed(R"({"policy": "drive_poll_done"})") == 3);
  b.job.id = "018f4e2a-0000-7000-8000-000000000002";
  CHECK(b.result().size() == 8);
}
