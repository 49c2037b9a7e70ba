// Ticks: one row, one job, however many nodes try.
#include <rowcrew/error.hpp>

#include "queue/cron.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "together.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr std::int64_t kNoon = 1'767'268'800'000;  // 2026-01-01 12:00 UTC

void schedule(QueueBench& b, const std::string& name, const std::string& columns = "",
              const std::string& values = "") {
  b.exec("INSERT INTO rowcrew.schedule (name, cron, job_type, queue, payload, priority" + columns +
         ") VALUES ('" + name + "', '0 3 * * *', 't', 'q', '{\"n\": 1}', 2" + values + ")");
}

Params ticks(const std::vector<std::string>& names, std::int64_t at) {
  const std::vector<std::int64_t> moments(names.size(), at);
  return Params{}.add_array(names).add_array(moments);
}

Params tick(const std::string& name, std::int64_t at) {
  return ticks({name}, at);
}

}  // namespace

TEST_CASE("schedule: retention that has waited for six hours comes first, whatever else waits") {
  QueueBench b;
  b.exec("DELETE FROM rowcrew.schedule");
  for (const char* name : {"nightly", "late", "reports"}) schedule(b, name, ", overlap", ", false");
  b.exec("UPDATE rowcrew.schedule SET job_type = 'retention', priority = 9 WHERE name <> 'reports'");
  b.run(sql::schedule_enqueue_ticks, ticks({"nightly", "late", "reports"}, kNoon));
  b.exec("UPDATE rowcrew.job_queue q SET scheduled_at = rowcrew.clock() - CASE WHEN u.key = 'schedule:late' THEN interval '5 hours' ELSE "
         "interval '7 hours' END FROM rowcrew.job_unique u WHERE u.job_id = q.id");
  b.run(sql::node_hurry_retention);
  const char* found = "SELECT string_agg(substr(u.key, 10) || q.priority, ' ' ORDER BY u.key) FROM rowcrew.job_queue q JOIN rowcrew.job_unique u ON u.job_id = q.id";
  CHECK(b.value(found) == "late9 nightly0 reports2");
  b.insert(20, "priority", "1");
  const std::vector<ClaimedJob> first = b.claim(b.node(), 1);
  REQUIRE(first.size() == 1);
  CHECK(first[0].job.job_type == "retention");
  // What runs and has ended is left alone.
  b.exec("UPDATE rowcrew.job_queue SET priority = 9 WHERE job_type = 'retention'");
  b.run(sql::node_hurry_retention);
  CHECK(b.value(found) == "late9 nightly9 reports2");
}

TEST_CASE("schedule: a tick enqueues the job of its schedule, once") {
  QueueBench b;
  schedule(b, "nightly");
  const Rows first = b.run(sql::schedule_enqueue_ticks, tick("nightly", kNoon));
  REQUIRE(first.size() == 1);
  const std::string id(first.text(0, 0));
  CHECK(b.hints(id) == "ready");
  CHECK(b.value("SELECT concat_ws('|', job_type, queue, payload, priority) FROM {t}") ==
        R"(t|q|{"n": 1}|2)");
  CHECK(b.value("SELECT job_id || ' ' || due_at FROM rowcrew.tick") ==
        id + " 2026-01-01 12:00:00+00");

  CHECK(b.run(sql::schedule_enqueue_ticks, tick("nightly", kNoon)).empty());
  CHECK(b.count("{t}") == 1);
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("nightly", kNoon + 60'000)).size() == 1);
}

TEST_CASE("schedule: eight nodes that enqueue the same tick at once make one job") {
  QueueBench b("job_queue", 8);
  schedule(b, "nightly");
  for (std::int64_t round = 0; round < 10; ++round) {
    std::size_t made = 0;
    for (const Rows& rows :
         together(b, sql::schedule_enqueue_ticks, tick("nightly", kNoon + round), 8)) {
      made += rows.size();
    }
    CHECK(made == 1);
    CHECK(b.count("{t}") == round + 1);
    CHECK(b.count("{ready}") == round + 1);
  }
}

TEST_CASE("schedule: hundreds that are due in the same moment are one statement, those of others left out") {
  QueueBench b;
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) names.push_back("s" + std::to_string(i));
  for (const std::string& name : names) schedule(b, name, ", overlap", name == "s7" ? ", false" : ", true");
  b.exec("UPDATE rowcrew.schedule SET enabled = false WHERE name = 's5'");
  b.run(sql::schedule_enqueue_ticks, ticks({"s6", "s7"}, kNoon));
  names.push_back("never");
  CHECK(b.run(sql::schedule_enqueue_ticks, ticks(names, kNoon)).size() == 297);
  CHECK(b.count("{t}") == 299);
  CHECK(b.count("{ready}") == 299);
  const Rows next = b.run(sql::schedule_enqueue_ticks, ticks({"s8", "s7"}, kNoon + 60'000));
  REQUIRE(next.size() == 1);  // s7 must not overlap
  CHECK(next.text(0, 1) == "s8");
  CHECK(b.value("SELECT count(*) FROM rowcrew.tick WHERE due_at > '2026-01-01 12:00Z'") == "2");
}

TEST_CASE("schedule: one that is gone or switched off enqueues nothing") {
  QueueBench b;
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("never", kNoon)).empty());
  schedule(b, "off", ", enabled", ", false");
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("off", kNoon)).empty());
  CHECK(b.count("{t}") == 0);
  CHECK(b.count("rowcrew.tick") == 0);
  CHECK(b.run(sql::schedule_due).empty());
}

TEST_CASE(
    "schedule: due tells the last tick, or the schedule's own beginning, to the millisecond") {
  QueueBench b;
  schedule(b, "new", ", created_at, zone", ", '2026-01-01 11:00:00.123456Z', 'Europe/Berlin'");
  Rows due = b.run(sql::schedule_due);
  REQUIRE(due.size() == 1);
  CHECK(due.text(0, 0) == "new");
  CHECK(due.text(0, 1) == "0 3 * * *");
  CHECK(due.is_null(0, 2));
  CHECK(due.text(0, 3) == "Europe/Berlin");
  CHECK(due.integer(0, 4) == kNoon - 3'600'000 + 123);
  CHECK(due.integer(0, 5) > kNoon);

  for (const std::int64_t ms : {1, 999, 123, 500}) {
    b.run(sql::schedule_enqueue_ticks, tick("new", kNoon + ms));
  }
  due = b.run(sql::schedule_due);
  CHECK(due.integer(0, 4) == kNoon + 999);
}

TEST_CASE("schedule: a tick that was made while the clock ran ahead does not silence its schedule until then") {
  QueueBench b;
  schedule(b, "nightly", ", created_at", ", '2026-01-01 12:00Z'");
  b.run(sql::schedule_enqueue_ticks, tick("nightly", kNoon + 1'000));
  const std::int64_t ahead = b.run(sql::schedule_due).integer(0, 5) + 86'400'000LL * 1'000;
  b.run(sql::schedule_enqueue_ticks, tick("nightly", ahead));
  CHECK(b.run(sql::schedule_due).integer(0, 4) == kNoon + 1'000);
  // Neither is the newest real one forgotten for it: its moment would be made up for once more.
  b.exec("UPDATE rowcrew.tick SET due_at = rowcrew.clock() - interval '1 year' WHERE due_at < rowcrew.clock()");
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(10)).affected() == 0);
}

TEST_CASE("schedule: one that is switched on, or gets other times, does not make up for what was before") {
  QueueBench b;
  schedule(b, "nightly", ", created_at, enabled", ", '2026-01-01 12:00Z', false");
  const auto last = [&] { return b.run(sql::schedule_due).integer(0, 4); };
  const auto changed = [&] {
    const std::int64_t since = last();
    b.exec("UPDATE rowcrew.schedule SET changed_at = NULL");
    return since > kNoon;
  };
  b.exec("UPDATE rowcrew.schedule SET enabled = true");
  CHECK(changed());
  b.exec("UPDATE rowcrew.schedule SET priority = 3, payload = '{}', enabled = true");
  CHECK(last() == kNoon);
  b.exec("UPDATE rowcrew.schedule SET zone = 'Europe/Berlin'");
  CHECK(changed());
  b.exec("UPDATE rowcrew.schedule SET cron = NULL, every_ms = 60000");
  CHECK(changed());
}

TEST_CASE("schedule: what no job could be made of is refused where it is written") {
  QueueBench b;
  schedule(b, "nightly");
  for (const char* change : {"queue = ''", "queue = repeat('q', 64)", "job_type = ''", "job_type = repeat('t', 101)", "created_at = 'infinity'",
                             "cron = NULL, every_ms = 9223372036854775807"}) {
    CAPTURE(change);
    CHECK_THROWS_AS(b.exec(std::string("UPDATE rowcrew.schedule SET ") + change), DbError);
  }
}

TEST_CASE("schedule: a line or zone that no node can read is refused by name where it is written, all others are not") {
  QueueBench b;
  const auto written = [&](const std::string& line, const std::string& zone) {
    try {
      b.query("INSERT INTO rowcrew.schedule (name, cron, zone, job_type) VALUES ('s', $1, $2, 't')", Params{}.add(line).add(zone));
    } catch (const DbError& e) {
      CHECK(e.sqlstate() == "22023");
      const std::string what = e.what();
      return what.substr(what.find("schedule 's'"));
    }
    b.exec("DELETE FROM rowcrew.schedule WHERE name = 's'");
    return std::string();
  };
  for (const char* line :
       {"* * * * *", "5 * * * *", "*/15 0-23/2 1,15,31 * *", "50/4 * * * *", "05 007 * * *", "0 0 1 jan,jul-DEC *", "0 0 * * MON-wed", "0 0 * * 5-7", "0 0 29 2 *",
        "  0   3\t* * *  ", "@daily", "@Midnight", "@ANNUALLY", "", " ", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *",
        "* * * 13 *", "* * * * 8", "* * * * L", "* * L * *", "* * ? * *", "*/0 * * * *", "*/60 * * * *", "* */24 * * *", "5-3 * * * *", "* * * * fri-mon",
        "1,,2 * * * *", "1, * * * *", "1- * * * *", "-1 * * * *", "*-5 * * * *", "*/5/2 * * * *", "1-2-3 * * * *", "mon * * * *", "* * * mon *",
        "* * * january *", "+1 * * * *", "1.5 * * * *", "99999999999 * * * *", "* * * * *\n", "@reboot", " @daily", "@daily "}) {
    CAPTURE(line);
    bool readable = true;
    try {
      Cron::parse(line, "UTC");
    } catch (const ConfigError&) {
      readable = false;
    }
    CHECK(written(line, "UTC").empty() == readable);
  }
  CHECK(written("0 3 * * *", "Europe/Berlin").empty());
  CHECK(written("0 25 * * *", "UTC").starts_with("schedule 's': cron '0 25 * * *': hour '25', expected *, 0 to 23, a list, a range or a step"));
  for (const char* zone : {"Europe/Berln", "europe/berlin", "+02:00", "posix/Europe/Berlin", "posixrules", "Factory", ""}) {
    CAPTURE(zone);
    CHECK(written("0 3 * * *", zone).starts_with("schedule 's': zone '" + std::string(zone) + "': unknown, expected a name such as Europe/Berlin"));
  }
  schedule(b, "nightly");
  CHECK_THROWS_AS(b.exec("UPDATE rowcrew.schedule SET cron = '0 3 * *' WHERE name = 'nightly'"), DbError);
  b.exec("UPDATE rowcrew.schedule SET cron = NULL, every_ms = 60000 WHERE name = 'nightly'");
}

TEST_CASE("schedule: a tick that cron found is not found again") {
  QueueBench b;
  schedule(b, "nightly", ", created_at", ", '2026-01-01 12:00Z'");
  const Cron cron = Cron::parse("0 3 * * *", "UTC");
  const auto moment = [](std::int64_t ms) { return Cron::Moment(std::chrono::milliseconds(ms)); };
  const auto pending = [&] {
    const Rows due = b.run(sql::schedule_due);
    return cron.latest_in(moment(due.integer(0, 4)), moment(due.integer(0, 5)));
  };
  const auto latest = pending();
  REQUIRE(latest);
  const Params params = tick("nightly", latest->time_since_epoch().count());
  CHECK(b.run(sql::schedule_enqueue_ticks, params).size() == 1);
  CHECK_FALSE(pending());
}

TEST_CASE("schedule: a job gets the attempts of its type, and the schedule's app") {
  QueueBench b;
  schedule(b, "plain");
  schedule(b, "shop", ", app", ", 'shop'");
  b.run(sql::schedule_enqueue_ticks, tick("plain", kNoon));
  b.exec("INSERT INTO rowcrew.job_type (name, max_attempts, queue, priority) VALUES ('t', 2, 'x', 9)");
  b.run(sql::schedule_enqueue_ticks, tick("shop", kNoon));
  CHECK(b.value("SELECT string_agg(concat_ws('|', max_attempts, app, queue, priority), ' ' ORDER BY "
                "id) FROM {t}") == "5|q|2 2|shop|q|2");
  CHECK(b.count("rowcrew.job_unique") == 0);
}

TEST_CASE("schedule: without overlap a moment is skipped while the earlier job is live") {
  QueueBench b;
  schedule(b, "poll", ", overlap", ", false");
  schedule(b, "other", ", overlap", ", false");
  std::int64_t now = kNoon;
  const auto next = [&] { return b.run(sql::schedule_enqueue_ticks, tick("poll", ++now)).size(); };
  for (const char* live : {"pending", "processing", "retrying"}) {
    CAPTURE(live);
    REQUIRE(next() == 1);
    b.exec("UPDATE {t} SET status = '" + std::string(live) +
           "', claim_token = nextval(pg_get_serial_sequence('rowcrew.node', 'node_id')) "
           "WHERE status = 'pending'");
    CHECK(next() == 0);
    CHECK(next() == 0);
    // Another schedule of the same job type does not care.
    CHECK(b.run(sql::schedule_enqueue_ticks, tick("other", now)).size() == 1);
    b.exec("UPDATE {t} SET status = 'failed' WHERE unique_key = 'schedule:other'");
    b.exec("UPDATE {t} SET status = 'completed' WHERE status = '" + std::string(live) + "'");
    CHECK(b.count("rowcrew.job_unique") == 0);
  }
  CHECK(next() == 1);
  b.exec("DELETE FROM {t} WHERE status = 'pending'");
  CHECK(next() == 1);
}

TEST_CASE("schedule: a skipped moment is decided: it is not due again when the job ends") {
  QueueBench b;
  schedule(b, "poll", ", overlap, created_at", ", false, '2026-01-01 12:00Z'");
  b.run(sql::schedule_enqueue_ticks, tick("poll", kNoon + 1'000));
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("poll", kNoon + 2'000)).empty());
  CHECK(b.run(sql::schedule_due).integer(0, 4) == kNoon + 2'000);
  CHECK(b.run(sql::schedule_skipped_for, tick("poll", kNoon + 2'000)).text(0, 1) == b.value("SELECT id FROM {t}"));
  CHECK(b.run(sql::schedule_skipped_for, tick("poll", kNoon + 1'000)).empty());
  b.exec("UPDATE {t} SET status = 'cancelled'");
  CHECK(b.run(sql::schedule_skipped_for, tick("poll", kNoon + 2'000)).empty());
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("poll", kNoon + 2'000)).empty());
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("poll", kNoon + 3'000)).size() == 1);
  CHECK(b.count("rowcrew.tick") == 3);
}

TEST_CASE("schedule: without overlap eight nodes with eight moments make one job") {
  QueueBench b("job_queue", 8);
  schedule(b, "poll", ", overlap", ", false");
  for (std::int64_t round = 1; round <= 5; ++round) {
    for (std::int64_t at = 0; at < 3; ++at) {
      together(b, sql::schedule_enqueue_ticks, tick("poll", kNoon + round * 10 + at), 8);
    }
    CHECK(b.count("{t}") == round);
    CHECK(b.count("rowcrew.job_unique") == 1);
    b.exec("UPDATE {t} SET status = 'completed'");
  }
}

TEST_CASE("schedule: old ticks are forgotten by the page, but never the newest of a schedule") {
  QueueBench b;
  schedule(b, "nightly");
  schedule(b, "dormant");
  b.exec(
      "INSERT INTO rowcrew.tick (schedule, due_at, job_id) SELECT 'nightly', "
      "rowcrew.clock() - n * interval '10 days', gen_random_uuid() FROM generate_series(1, 6) n");
  b.exec(
      "INSERT INTO rowcrew.tick (schedule, due_at, job_id) VALUES ('dormant', "
      "rowcrew.clock() - interval '1 year', gen_random_uuid())");
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(2)).affected() == 2);
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(2)).affected() == 2);
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(2)).affected() == 0);
  CHECK(b.value("SELECT string_agg(schedule || n, ' ' ORDER BY schedule) FROM "
                "(SELECT schedule, count(*) n FROM rowcrew.tick GROUP BY 1) x") ==
        "dormant1 nightly2");
}

TEST_CASE("schedule: ticks of every minute are kept for a day, those of once an hour for a month") {
  QueueBench b;
  b.exec("INSERT INTO rowcrew.schedule (name, cron, job_type) VALUES ('minutely', '* * * * *', 't'), ('often', '5,35 * * * *', 't'),"
         " ('hourly', ' 7 * * * *', 't'), ('daily', '@daily', 't')");
  b.exec("INSERT INTO rowcrew.tick (schedule, due_at, job_id) SELECT s.name, rowcrew.clock() - n * interval '20 hours', gen_random_uuid()"
         " FROM rowcrew.schedule s, generate_series(1, 3) n");
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(100)).affected() == 4);
  CHECK(b.value("SELECT string_agg(schedule || n, ' ' ORDER BY schedule) FROM (SELECT schedule, count(*) n FROM rowcrew.tick GROUP BY 1) x") ==
        "daily3 hourly3 minutely1 often1");
}

TEST_CASE("schedule: ticks of a short interval do not pile up for a month, and a node that was frozen repeats none that is forgotten") {
  QueueBench b;
  b.exec("INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('second', 1000, 't'), ('hour', 3600000, 't')");
  b.exec("INSERT INTO rowcrew.tick (schedule, due_at, job_id) SELECT s, rowcrew.clock() - n * interval '40 min', gen_random_uuid()"
         " FROM unnest(ARRAY['second', 'hour']) s, generate_series(1, 5) n");
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(3)).affected() == 3);
  CHECK(b.run(sql::schedule_forget_ticks, Params{}.add(3)).affected() == 1);
  CHECK(b.value("SELECT string_agg(schedule || n, ' ' ORDER BY schedule) FROM (SELECT schedule, count(*) n FROM rowcrew.tick GROUP BY 1) x") ==
        "hour5 second1");
  const std::int64_t hour_ago = b.number("SELECT floor(extract(epoch FROM rowcrew.clock() - interval '80 min') * 1000)::bigint");
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("second", hour_ago)).empty());
  CHECK(b.count("{t}") == 0);
  CHECK(b.run(sql::schedule_enqueue_ticks, tick("second", hour_ago + 4'000'000)).size() == 1);
}
