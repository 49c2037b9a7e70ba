// The demo app: usage, exactly at the limit.
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <thread>

#include "demo_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("usage: processed and failed are counted apart, credits with what was processed") {
  DemoBench b;
  b.found_new(3);
  const auto jobs = b.claim();
  b.process(jobs[0]);
  b.process(jobs[1]);
  b.input(jobs[2]);
  b.end(jobs[2], Failed("image_corrupt", ""));
  CHECK(b.usage() == "2|1|0|0|0|2");
}

TEST_CASE("usage: at the limit a blocking tier refuses, one mail tells it") {
  DemoBench b("free", 2);
  b.found_new(4);
  const auto jobs = b.claim();
  CHECK(b.process(jobs[0]) == "go");
  CHECK(b.process(jobs[1]) == "go");
  CHECK(b.process(jobs[2]) == "limit_reached");
  CHECK(b.process(jobs[3]) == "limit_reached");
  CHECK(b.usage() == "2|0|2|0|0|2");
  CHECK(b.statuses() == "done done blocked blocked");
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_queue WHERE payload ->> 'template' = 'limit_reached'") == 1);
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_event WHERE event = 'photo.blocked'") == 2);
}

TEST_CASE("usage: beyond the limit an overage tier goes on and is charged") {
  DemoBench b("creator", 2);
  b.found_new(4);
  for (const Job& job : b.claim()) CHECK(b.process(job) == "go");
  CHECK(b.usage() == "4|0|0|2|100|4");
}

TEST_CASE("usage: the last place waits for the photo that holds it, and is given on when that fails") {
  DemoBench b("free", 1);
  b.found_new(2);
  const auto jobs = b.claim();
  CHECK(b.input(jobs[0]) == "go");
  CHECK(b.input(jobs[1]) == "wait");
  CHECK(b.input(jobs[0]) == "go");  // asked again after a crash: its own permit does not block it
  b.end(jobs[0], Failed("image_truncated", ""));
  CHECK(b.process(jobs[1]) == "go");
  CHECK(b.usage() == "1|1|0|0|0|1");
}

TEST_CASE("usage: the permit of a job that does not run any more stands for nothing") {
  DemoBench b("free", 1);
  b.found_new(2);
  const auto jobs = b.claim();
  CHECK(b.input(jobs[0]) == "go");
  b.end(jobs[0], Retry("disk_full", ""));
  CHECK(b.input(jobs[1]) == "go");
}

TEST_CASE("usage: eight slots racing stop exactly at the limit") {
  DemoBench b("free", 10);
  b.found_new(24);
  const auto jobs = b.claim();
  REQUIRE(jobs.size() == 24);
  std::atomic<std::size_t> next{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> slots;
  const std::string sql_input = "SELECT demo.generation_input($1::uuid)";
  const std::string sql_end =
      "WITH e AS (UPDATE rowcrew.processing_jobs SET status = 'completed', completed_at = rowcrew.clock() WHERE id = $1::uuid)"
      " SELECT demo.generation_ended($1::uuid, '{\"status\": \"completed\"}')";
  const std::string sql_refuse =
      "SELECT demo.generation_ended($1::uuid, '{\"status\": \"failed\", \"error_code\": \"limit_reached\"}')";
  for (int i = 0; i < 8; ++i) {
    slots.emplace_back([&] {
      for (std::size_t at = next++; at < jobs.size(); at = next++) {
        const Params id = Params{}.add(jobs[at].id);
        for (;;) {
          const std::string answer = b.db.value(sql_input, id);
          if (answer.find("wait_ms") != std::string::npos) continue;
          const bool go = answer.find("source") != std::string::npos;
          b.db.query(go ? sql_end : sql_refuse, id);
          if (!go) ++refused;
          break;
        }
      }
    });
  }
  for (std::thread& slot : slots) slot.join();
  CHECK(refused == 14);
  CHECK(b.usage() == "10|0|14|0|0|10");
}

TEST_CASE("usage: a new period lets the waiting photos in, with the tier of that day") {
  DemoBench b("free", 1);
  b.found_new(2);
  for (const Job& job : b.claim()) b.process(job);
  CHECK(b.statuses() == "done blocked");
  CHECK(b.number("SELECT demo.usage_reset()") == 0);
  b.query("UPDATE demo.tier SET monthly_limit = 7 WHERE name = 'free'");
  b.db.exec("SELECT rowcrew.set_clock_offset('32 days')");
  CHECK(b.number("SELECT demo.usage_reset()") == 1);
  CHECK(b.number("SELECT demo.usage_reset()") == 0);
  CHECK(b.statuses() == "done queued");
  const auto jobs = b.claim();
  REQUIRE(jobs.size() == 1);
  CHECK(b.process(jobs[0]) == "go");
  CHECK(b.value("SELECT string_agg(images_processed || '/' || monthly_limit, ' ' ORDER BY period_start) FROM demo.usage_tracking") ==
        "1/1 1/7");
}

TEST_CASE("usage: a photo that is processed before the reset of its month does not keep the waiting ones out") {
  DemoBench b("free", 1);
  b.found_new(2);
  for (const Job& job : b.claim()) b.process(job);
  REQUIRE(b.statuses() == "done blocked");
  b.query("UPDATE demo.tier SET monthly_limit = 7 WHERE name = 'free'");
  b.db.exec("SELECT rowcrew.set_clock_offset('32 days')");
  b.found_new(1);
  for (const Job& job : b.claim()) CHECK(b.process(job) == "go");  // opens the period
  CHECK(b.number("SELECT demo.usage_reset()") == 0);
  CHECK(b.statuses() == "done queued done");
}

TEST_CASE("usage: a larger tier counts at once and lets waiting photos in, a smaller one from the next period on") {
  DemoBench b("free", 1);
  b.found_new(2);
  for (const Job& job : b.claim()) b.process(job);
  REQUIRE(b.statuses() == "done blocked");
  b.query("UPDATE demo.tier SET monthly_limit = 100 WHERE name = 'creator'");
  b.query("UPDATE demo.account SET tier = 'creator'");
  CHECK(b.number("SELECT demo.usage_reset()") == 0);
  CHECK(b.statuses() == "done queued");
  for (const Job& job : b.claim()) CHECK(b.process(job) == "go");
  b.query("UPDATE demo.account SET tier = 'free'");
  CHECK(b.value("SELECT tier || monthly_limit || at_limit || overage_cents FROM demo.usage_tracking") == "creator100overage50");
  b.db.exec("SELECT rowcrew.set_clock_offset('32 days')");
  CHECK(b.number("SELECT demo.usage_reset()") == 1);
  CHECK(b.value("SELECT tier || monthly_limit || at_limit FROM demo.usage_tracking ORDER BY period_start DESC LIMIT 1") == "free1block");
}

TEST_CASE("usage: a month ends at midnight UTC, whatever the zone of the session is that opens it") {
  DemoBench b("free", 1);
  b.db.exec("SELECT rowcrew.set_clock_offset(timestamptz '2030-03-10Z' - now())");
  CHECK(b.value("SELECT CASE WHEN set_config('TimeZone', 'America/New_York', true) <> '' THEN"
                "  (demo.lock_usage(account_id)).period_end = '2030-04-01Z' END FROM demo.account") == "t");
}

TEST_CASE("usage: periods follow each other without gaps from renewal day to renewal day, through ten years") {
  DemoBench b;
  // Each edge leads to the next; the 31st comes back after a February.
  CHECK(b.value("WITH RECURSIVE p AS ("
                "  SELECT d, (demo.period_at(d, '2026-12-15Z')).*, 1 AS n FROM unnest(ARRAY[1, 15, 29, 30, 31]) d"
                "  UNION ALL SELECT p.d, x.*, n + 1 FROM p, LATERAL demo.period_at(p.d, p.ends) x WHERE n < 120)"
                "SELECT count(*) || ' ' || count(*) FILTER (WHERE ends - starts NOT BETWEEN '28 days' AND '31 days')"
                "       || ' ' || max(ends AT TIME ZONE 'UTC') FILTER (WHERE d = 31)"
                "       || ' ' || max(ends AT TIME ZONE 'UTC') FILTER (WHERE d = 29 AND extract(month FROM ends AT TIME ZONE 'UTC') = 2) FROM p") ==
        "600 0 2036-11-30 00:00:00 2036-02-29 00:00:00");
}

TEST_CASE("usage: an account whose renewal day changes begins where its last period ended") {
  DemoBench b("free", 1);
  b.db.exec("SELECT rowcrew.set_clock_offset(timestamptz '2030-03-10Z' - now())");
  b.query("SELECT demo.lock_usage(account_id) FROM demo.account");
  b.query("UPDATE demo.account SET renewal_day = 15");
  b.db.exec("SELECT rowcrew.set_clock_offset(timestamptz '2030-04-02Z' - now())");
  CHECK(b.number("SELECT demo.usage_reset()") == 1);
  CHECK(b.value("SELECT string_agg((period_start AT TIME ZONE 'UTC')::date || '/' || (period_end AT TIME ZONE 'UTC')::date, ' '"
                "                  ORDER BY period_start) FROM demo.usage_tracking") ==
        "2030-03-01/2030-04-01 2030-04-01/2030-04-15");
}

TEST_CASE("usage: a period that was opened while the clock ran ahead does not keep today's from being opened") {
  DemoBench b("free", 1);
  b.db.exec("SELECT rowcrew.set_clock_offset('40 days')");
  b.query("SELECT demo.lock_usage(account_id) FROM demo.account");
  b.db.exec("SELECT rowcrew.set_clock_offset('0')");
  CHECK(b.value("SELECT (u).period_start <= now() AND (u).period_end > now() FROM (SELECT demo.lock_usage(account_id) AS u FROM demo.account) x") == "t");
}

TEST_CASE("usage: two accounts count apart") {
  DemoBench b("free", 1);
  b.query("SELECT demo.join_studio('Bob', 'bob@example.com', 'free', 'g', '/in2', '/out2')");
  b.found_new(2);
  b.query("SELECT demo.drive_files_found('g', jsonb_build_array($1::jsonb))", Params{}.add(b.file("z.jpg", 5, "zz")));
  std::map<std::string, int> verdicts;
  for (const Job& job : b.claim()) ++verdicts[b.process(job)];
  CHECK(verdicts["go"] == 2);
  CHECK(verdicts["limit_reached"] == 1);
}
