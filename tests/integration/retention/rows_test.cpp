// What goes and what stays: jobs, deliveries, mails and the rest that has a key.
#include "../queue/held_transaction.hpp"
#include "retention_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using nlohmann::json;

namespace {

/// Jobs of every status, each so long ended.
void jobs(RetentionBench& b, const std::string& table, const std::string& ended_ago,
          const std::string& type = "t") {
  const std::string column = table == "job_queue" ? "job_type" : "type";
  b.db.exec("INSERT INTO rowcrew." + table + " (" + column +
            ", status, claim_token, created_at, scheduled_at, completed_at) SELECT '" + type +
            "', s, 1, rowcrew.clock() - interval '1 year', rowcrew.clock() - interval '1 year', "
            "rowcrew.clock() - interval '" + ended_ago +
            "' FROM unnest(ARRAY['pending', 'processing', 'retrying', 'completed', 'failed', "
            "'cancelled']) s");
}

std::string left(RetentionBench& b, const std::string& table) {
  return b.value("SELECT coalesce(string_agg(status || n, ' ' ORDER BY status), '') FROM (SELECT "
                 "status, count(*) AS n FROM rowcrew." + table + " GROUP BY 1) x");
}

}  // namespace

TEST_CASE("retention: what is still to run is never touched, however old") {
  for (const char* table : {"job_queue", "processing_jobs"}) {
    CAPTURE(table);
    RetentionBench b;
    b.policy("old", table, "1 day");
    jobs(b, table, "2 days");
    jobs(b, table, "23 hours");
    CHECK(b.removed() == 3);
    CHECK(left(b, table) ==
          "cancelled1 completed1 failed1 pending2 processing2 retrying2");
    CHECK(b.value("SELECT count(*) FROM rowcrew.archive") == "0");
  }
}

TEST_CASE("retention: the boundary is exact: older than the age, not as old") {
  RetentionBench b;
  b.policy("old", "job_queue", "90 days");
  for (const char* ago : {"90 days", "89 days 23:59:59.999999", "90 days 00:00:00.000001"}) {
    b.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at) VALUES ('" +
              std::string(ago) + "', 'completed', rowcrew.clock() - interval '" + ago + "')");
  }
  CHECK(b.removed() == 1);
  CHECK(b.value("SELECT string_agg(job_type, ',' ORDER BY job_type) FROM rowcrew.job_queue") ==
        "89 days 23:59:59.999999,90 days");
}

TEST_CASE("retention: the archive has the whole row, and the table no longer") {
  RetentionBench b;
  b.policy("keep", "job_queue", "1 day", "archive");
  b.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at, payload, result) VALUES "
            "('t', 'completed', rowcrew.clock() - interval '2 days', '{\"a\": [1, \"é\"]}', '7')");
  const std::string row = b.value("SELECT to_jsonb(q) FROM rowcrew.job_queue q");
  const std::string id = b.value("SELECT id FROM rowcrew.job_queue");
  const json result = b.result();
  CHECK(result == json::parse(R"([{"name": "keep", "looked_at": 1, "removed": 1, "archived": 1,
                                   "kept": 0, "dry_run": false}])"));
  CHECK(b.value("SELECT row FROM rowcrew.archive") == row);
  CHECK(b.value("SELECT concat_ws(' ', policy, source, id, archived_at AT TIME ZONE 'UTC') FROM "
                "rowcrew.archive") == "keep job_queue " + id + " 2026-06-01 00:00:00");
  CHECK(b.value("SELECT count(*) FROM rowcrew.job_queue") == "0");

  b.policy("forget", "archive", "1 day");
  CHECK(b.removed(R"({"policy": "forget"})") == 0);
  // Beside the months that were made: in the default partition.
  b.db.exec("UPDATE rowcrew.archive SET archived_at = archived_at - interval '25 hours'");
  CHECK(b.removed(R"({"policy": "forget"})") == 1);
  CHECK(b.value("SELECT count(*) FROM rowcrew.archive") == "0");
}

TEST_CASE("retention: a policy may mean some types and some ends only") {
  RetentionBench b;
  b.policy("some", "job_queue", "1 hour", "delete", ", job_types, statuses",
           ", '{poll,\"it''s\"}', '{completed}'");
  for (const char* type : {"poll", "mail", "it''s"}) jobs(b, "job_queue", "1 day", type);
  CHECK(b.removed() == 2);
  CHECK(b.value("SELECT string_agg(job_type, ' ' ORDER BY job_type) FROM rowcrew.job_queue WHERE "
                "status = 'completed'") == "mail");
  CHECK(left(b, "job_queue") == "cancelled3 completed1 failed3 pending3 processing3 retrying3");
}

TEST_CASE("retention: a job cancelled by hand, whose end nobody wrote down, goes by what is known") {
  RetentionBench b;
  b.policy("old", "job_queue", "1 day");
  b.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, created_at, scheduled_at) VALUES "
            "('past', 'cancelled', rowcrew.clock() - interval '3 days', rowcrew.clock() - interval "
            "'2 days'), ('ahead', 'cancelled', rowcrew.clock() - interval '3 days', rowcrew.clock())");
  CHECK(b.removed() == 1);
  CHECK(b.value("SELECT job_type FROM rowcrew.job_queue") == "ahead");
}

TEST_CASE("retention: pages are bounded and meet every row once, whatever the ids are") {
  RetentionBench b;
  b.policy("old", "job_queue", "1 day", "archive", ", batch", ", 7");
  // Ours among foreign ones, both ends of the range included.
  b.db.exec("INSERT INTO rowcrew.job_queue (id, job_type, status, completed_at) SELECT CASE n WHEN 1 "
            "THEN '00000000-0000-0000-0000-000000000000' WHEN 2 THEN "
            "'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE CASE n % 2 WHEN 0 THEN gen_random_uuid() "
            "ELSE rowcrew.uuid7() END END, 't', 'completed', rowcrew.clock() - CASE WHEN n <= 60 THEN "
            "interval '2 days' ELSE interval '1 hour' END FROM generate_series(1, 100) n");
  std::string after;
  std::int64_t looked = 0;
  int pages = 0;
  do {
    const Rows page = b.db.query(
        "SELECT looked_at, removed, archived, next FROM rowcrew.retention_page('old', true, "
        "nullif($1, ''), NULL)",
        Params{}.add(after));
    CHECK(page.integer(0, 0) <= 7);
    looked += page.integer(0, 0);
    after = page.text(0, 3);
    ++pages;
  } while (!after.empty());
  CHECK(looked == 100);
  CHECK(pages <= 17);
  const json result = b.result();
  CHECK(result[0]["looked_at"] == 100);
  CHECK(result[0]["removed"] == 60);
  CHECK(b.value("SELECT count(DISTINCT id) FROM rowcrew.archive") == "60");
  CHECK(b.value("SELECT count(*) FROM rowcrew.job_queue") == "40");
  CHECK(b.value("SELECT concat_ws(' ', last_deleted, last_run_at AT TIME ZONE 'UTC', resume_after) "
                "FROM rowcrew.retention_policy") == "60 2026-06-01 00:00:00");
}

TEST_CASE("retention: a walk does not look at ids that are too young, and reaches those that others made") {
  RetentionBench b;
  b.policy("old", "job_queue", "90 days", "delete", ", batch", ", 10");
  const auto ended = [&](const std::string& id, const std::string& ago, int count) {
    b.db.exec("INSERT INTO rowcrew.job_queue (id, job_type, status, completed_at) SELECT " + id +
              ", 't', 'completed', rowcrew.clock() - interval '" + ago + "' FROM generate_series(1, " + std::to_string(count) + ") n");
  };
  const auto made = [](const std::string& at) {
    return "(substr(rowcrew.id_at(" + at + ")::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid";
  };
  const char* strangers = "(CASE n % 2 WHEN 0 THEN '00' ELSE 'fe' END || substr(gen_random_uuid()::text, 3))::uuid";  // surely beside the young ones
  ended(made("rowcrew.clock() - interval '100 days'"), "99 days", 15);
  ended(made("rowcrew.clock() - interval '91 days'"), "80 days", 5);
  ended(made("rowcrew.clock() - interval '89 days'"), "88 days", 500);
  ended(made("rowcrew.clock()"), "0 days", 500);
  ended(made("rowcrew.clock() + interval '3 years'"), "99 days", 15);  // of a clock that ran ahead
  ended(strangers, "99 days", 300);
  ended(strangers, "80 days", 30);
  const json result = b.result();
  CHECK(result[0]["removed"] == 15 + 15 + 300);
  CHECK(result[0]["looked_at"] == 15 + 5 + 15 + 300 + 30);
  // An old one of another's making, whose id lies among the young ones: as soon as that is as old.
  ended(made("rowcrew.clock() - interval '10 days'"), "99 days", 1);
  CHECK(b.removed() == 0);
  b.clock_at("2026-08-20 00:01Z");
  CHECK(b.removed() == 1 + 5 + 30 + 500);
}

TEST_CASE("retention: a policy of some types goes on where nothing was old enough, and looks at everything once a week") {
  RetentionBench b;
  const auto ended = [&](const std::string& type, const std::string& made, const std::string& end, int count) {
    b.db.exec("INSERT INTO rowcrew.job_queue (id, job_type, status, completed_at) SELECT (substr(rowcrew.id_at('" + made +
              "')::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, '" + type + "', 'completed', '" + end +
              "' FROM generate_series(1, " + std::to_string(count) + ")");
  };
  b.policy("polls", "job_queue", "1 hour", "delete", ", job_types, batch", ", '{poll}', 10");
  b.clock_at("2026-06-01 12:00Z");
  ended("other", "2026-05-20 00:00Z", "2026-05-20 00:00Z", 40);
  ended("poll", "2026-05-25 00:00Z", "2026-06-01 10:00Z", 3);
  const auto walked = [&] {
    const json all = b.result();
    return std::pair(all[0]["looked_at"].get<int>(), all[0]["removed"].get<int>());
  };
  CHECK(walked() == std::pair(43, 3));
  ended("poll", "2026-06-01 11:30Z", "2026-06-01 11:31Z", 2);
  ended("poll", "2026-06-01 12:30Z", "2026-06-01 12:31Z", 1);
  ended("poll", "2026-05-26 00:00Z", "2026-06-01 11:31Z", 1);  // it took long
  b.clock_at("2026-06-01 13:00Z");
  CHECK(walked() == std::pair(2, 2));
  b.clock_at("2026-06-02 13:00Z");
  CHECK(walked() == std::pair(1, 1));
  b.clock_at("2026-06-08 02:00Z");
  CHECK(walked() == std::pair(41, 1));
  // What it means now may have been old enough for long.
  b.clock_at("2026-06-08 03:00Z");
  CHECK(walked() == std::pair(0, 0));
  b.db.exec("UPDATE rowcrew.retention_policy SET job_types = '{poll,other}'");
  CHECK(walked() == std::pair(40, 40));
}

TEST_CASE("retention: what was removed is passed by in the index, and not looked at each night until vacuum comes") {
  RetentionBench b;
  b.policy("old", "job_queue", "1 day");
  b.db.exec("ALTER TABLE rowcrew.job_queue SET (autovacuum_enabled = off)");
  b.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at) SELECT 't', 'completed', rowcrew.clock() - interval '2 days' "
            "FROM generate_series(1, 2000)");
  CHECK(b.removed() == 2000);
  const auto looked = [&] {
    std::string plan;
    run_once(b.db.options(), TxMode::transaction, [&](Tx& tx) {
      tx.exec(Statement{"plan", "SET LOCAL enable_seqscan = off"});
      tx.exec(Statement{"bitmap", "SET LOCAL enable_bitmapscan = off"});
      const Rows rows = tx.exec(Statement{"explain", "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT id FROM rowcrew.job_queue ORDER BY id LIMIT 1"});
      for (std::size_t i = 0; i < rows.size(); ++i) plan += std::string(rows.text(i, 0)) + "\n";
    });
    const std::size_t at = plan.find("Heap Fetches: ");
    CAPTURE(plan);
    REQUIRE(at != std::string::npos);
    return std::stol(plan.substr(at + 14));
  };
  // A look marks what it finds dead only once nobody on the whole server writes in a transaction that
  // is older than the end of those rows, be it in another test's database.
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (looked() >= 100 && std::chrono::steady_clock::now() < until) {
    b.db.exec("SELECT pg_sleep(0.1)");
  }
  CHECK(looked() < 100);
}

TEST_CASE("retention: a row that somebody holds is left to the next run, and nobody waits") {
  RetentionBench b;
  b.policy("old", "job_queue", "1 day");
  jobs(b, "job_queue", "2 days");
  {
    HeldTransaction held(b.db, "UPDATE rowcrew.job_queue SET status = 'pending' WHERE status = 'failed'");
    CHECK(b.removed() == 2);
    held.commit();
  }
  // It lives again.
  CHECK(b.removed() == 0);
  CHECK(left(b, "job_queue") == "pending2 processing1 retrying1");
}

TEST_CASE("retention: deliveries, mails and audits that have ended go, the others stay") {
  RetentionBench b;
  b.policy("d", "webhook_deliveries", "30 days");
  b.policy("e", "email_notifications", "30 days", "archive");
  b.policy("a", "audit_logs", "30 days", "archive");
  for (const char* ago : {"31 days", "29 days"}) {
    const std::string then = "rowcrew.clock() - interval '" + std::string(ago) + "'";
    b.db.exec("INSERT INTO rowcrew.webhook_deliveries (delivery_id, endpoint_id, event_id, event, body, "
              "status, created_at, delivered_at) SELECT gen_random_uuid(), gen_random_uuid(), 1, 'a.b', "
              "'{}', s, rowcrew.clock() - interval '1 year', CASE s WHEN 'delivered' THEN " + then +
              " END FROM unnest(ARRAY['pending', 'retrying', 'delivered']) s");
    b.db.exec("INSERT INTO rowcrew.webhook_deliveries (delivery_id, endpoint_id, event_id, event, body, "
              "status, created_at) SELECT gen_random_uuid(), gen_random_uuid(), 1, 'a.b', '{}', s, " +
              then + " FROM unnest(ARRAY['failed', 'cancelled']) s");
    b.db.exec("INSERT INTO rowcrew.email_notifications (job_id, status, created_at, sent_at) SELECT "
              "gen_random_uuid(), s, " + then + ", CASE s WHEN 'sent' THEN " + then +
              " END FROM unnest(ARRAY['sending', 'sent', 'retrying', 'failed', 'cancelled', "
              "'suppressed']) s");
    b.db.exec("INSERT INTO rowcrew.audit_logs (created_at, action, target) VALUES (" + then +
              ", 'x', 'y')");
  }
  const json result = b.result();
  CHECK(result[0]["removed"] == 1);
  CHECK(result[1]["removed"] == 3);
  CHECK(result[2]["removed"] == 4);
  CHECK(left(b, "webhook_deliveries") == "cancelled1 delivered1 failed1 pending2 retrying2");
  CHECK(left(b, "email_notifications") ==
        "cancelled1 failed1 retrying2 sending2 sent1 suppressed1");
  CHECK(b.value("SELECT count(*) FROM rowcrew.archive") == "5");
}

TEST_CASE("retention: rows that another table refers to are kept, those around and behind them go") {
  RetentionBench b;
  b.policy("jobs", "job_queue", "1 day", "delete", ", batch", ", 3");
  b.policy("more", "processing_jobs", "1 day", "archive");
  jobs(b, "job_queue", "2 days");
  jobs(b, "job_queue", "2 days");
  jobs(b, "processing_jobs", "2 days");
  b.db.exec("CREATE TABLE public.photo (job uuid REFERENCES rowcrew.job_queue)");
  b.db.exec("INSERT INTO public.photo SELECT min(id::text)::uuid FROM rowcrew.job_queue WHERE status = 'failed'");
  // As Django makes them: looked at when the transaction ends.
  b.db.exec("CREATE TABLE public.bill (job uuid REFERENCES rowcrew.processing_jobs DEFERRABLE INITIALLY DEFERRED)");
  b.db.exec("INSERT INTO public.bill SELECT id FROM rowcrew.processing_jobs WHERE status = 'completed'");
  const nlohmann::json done = b.result();
  CHECK(done.at(0).at("removed") == 5);
  CHECK(done.at(0).at("kept") == 1);
  CHECK(done.at(1).at("archived") == 2);
  CHECK(done.at(1).at("kept") == 1);
  CHECK(left(b, "job_queue") == "failed1 pending2 processing2 retrying2");
  CHECK(left(b, "processing_jobs") == "completed1 pending1 processing1 retrying1");
  CHECK(b.value("SELECT string_agg(row ->> 'status', ' ' ORDER BY row ->> 'status') FROM rowcrew.archive") == "cancelled failed");
}

TEST_CASE("retention: a policy that a trigger refuses fails the job; other policies are done") {
  RetentionBench b;
  b.policy("jobs", "job_queue", "1 day");
  b.policy("more", "processing_jobs", "1 day");
  jobs(b, "job_queue", "2 days");
  jobs(b, "processing_jobs", "2 days");
  b.db.exec("CREATE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE check_violation USING MESSAGE = 'held'; END $$");
  b.db.exec("CREATE TRIGGER held BEFORE DELETE ON rowcrew.job_queue FOR EACH ROW EXECUTE FUNCTION public.held()");
  const Outcome outcome = b.go();
  REQUIRE(std::holds_alternative<Failed>(outcome));
  CHECK(std::get<Failed>(outcome).code == "policy_refused");
  CHECK(left(b, "job_queue") == "cancelled1 completed1 failed1 pending1 processing1 retrying1");
  CHECK(left(b, "processing_jobs") == "pending1 processing1 retrying1");
}
