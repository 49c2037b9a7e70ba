// why, pause, resume, cancel and redrive, called as main() calls them, by those who may.
#include <doctest/doctest.h>

#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>

#include "cli_bench.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

std::string insert(const TempDatabase& db, const std::string& columns = "", const std::string& values = "") {
  return db.value("INSERT INTO rowcrew.job_queue (job_type" + (columns.empty() ? "" : ", " + columns) + ") VALUES ('mail'" +
                  (values.empty() ? "" : ", " + values) + ") RETURNING id");
}

bool is_iso_time(const TempDatabase& db, const json& value) {
  return db.value("SELECT $1 ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:[0-9.]+\\+00:00$'", Params{}.add(value.get<std::string>())) == "t";
}

}  // namespace

TEST_CASE("why answers a viewer in one line, or in one object" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  const std::string id = insert(db);
  CHECK(cli.run({"why", id}) == 0);
  CHECK(cli.out() == "no node is running\n");
  CHECK(cli.run({"why", id, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("reason") == "no_node");
  CHECK(cli.run({"why", "12345"}) == 64);
  CHECK(cli.err().find("expected the id of a job") != std::string::npos);
  CHECK(cli.run({"why"}) == 64);
  CHECK(cli.run({"why", "--help"}) == 0);
  const std::string failed = insert(db, "status, error_code, error_message", "'failed', 'x', E'first\\nsecond \\x1b[31mred'");
  CHECK(cli.run({"why", failed}) == 0);
  CHECK(cli.out().find("first\\nsecond \\u001b[31mred\n") != std::string::npos);
}

TEST_CASE("jobs: a viewer finds the failed ones, and what is asked for in vain is said so" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  CHECK(cli.run({"jobs"}) == 0);
  CHECK(cli.out() == "there are no such jobs\n");
  insert(db);
  const std::string failed = insert(db, "status, error_code, error_message, completed_at", "'failed', 'x', E'first\\nsecond \\x1b[31mred', now()");
  CHECK(cli.run({"jobs", "--status", "failed", "--type", "mail"}) == 0);
  CHECK(cli.out().find(failed + "  mail  default          failed  0/5") != std::string::npos);
  CHECK(cli.out().find("x: first\\nsecond \\u001b[31mred\n") != std::string::npos);
  CHECK(cli.run({"jobs", "--limit", "1", "--json"}) == 0);
  const json job = json::parse(cli.out());
  CHECK(job.at("job") == failed);
  CHECK(is_iso_time(db, job.at("completed_at")));
  CHECK(job.contains("payload") == false);
  CHECK(cli.run({"jobs", "--status", "faild"}) == 64);
  CHECK(cli.err().find("filter.status: 'faild'") != std::string::npos);
  CHECK(cli.run({"jobs", "--limit", "0"}) == 64);
}

TEST_CASE("pause, its list, and resume" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.out() == "nothing is paused\n");
  CHECK(cli.run({"pause", "type", "mail", "--for", "2h", "--reason", "the relay is down"}) == 0);
  CHECK(cli.out() == "paused type mail\n");
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.out().find("type   mail") == cli.out().find('\n') + 1);
  CHECK(cli.out().find("the relay is down") != std::string::npos);
  CHECK(cli.run({"pause", "--json"}) == 0);
  const json pause = json::parse(cli.out());
  CHECK(pause.at("paused_by") == operators.name());
  for (const char* time : {"since", "until"}) CHECK(is_iso_time(db, pause.at(time)));
  CHECK(cli.run({"why", insert(db)}) == 0);
  CHECK(cli.out().find("type mail is paused by " + operators.name()) == 0);
  CHECK(cli.run({"resume", "type", "mail"}) == 0);
  CHECK(cli.out() == "resumed type mail\n");
  CHECK(cli.run({"resume", "type", "mail"}) == 1);
  CHECK(cli.run({"pause", "key", "fal"}) == 0);
  CHECK(cli.out() == "paused key fal: no job has it, there is no such limit\n");
  db.exec("SELECT rowcrew.limit_set('fal', p_type => 'upscale')");
  CHECK(cli.run({"pause", "key", "fal"}) == 0);
  CHECK(cli.out() == "paused key fal\n");
  CHECK(cli.run({"pause", "planet", "mail"}) == 64);
  CHECK(cli.run({"pause", "type"}) == 64);
  CHECK(cli.run({"pause", "type", "mail", "--for", "0s"}) == 64);
  CHECK(cli.err().find("for: ") != std::string::npos);
  CHECK(db.value("SELECT string_agg(action, ',' ORDER BY id) FROM rowcrew.audit_logs") == "pause,resume,pause,limit.set,pause");
}

TEST_CASE("schedules: when each is due, what its last moment became, and which is off or overdue" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  db.exec("DELETE FROM rowcrew.schedule");
  CHECK(cli.run({"schedules"}) == 0);
  CHECK(cli.out() == "there are no schedules\n");
  db.exec("INSERT INTO rowcrew.schedule (name, cron, zone, job_type) VALUES ('yearly', '0 0 1 1 *', 'Europe/Berlin', 'mail');"
          "INSERT INTO rowcrew.schedule (name, every_ms, job_type, enabled) VALUES ('off', 60000, 'mail', false);"
          "INSERT INTO rowcrew.schedule (name, every_ms, job_type, created_at) VALUES ('late', 1000, 'mail', now() - interval '1 hour');"
          "INSERT INTO rowcrew.schedule (name, cron, job_type) VALUES ('leap', '0 0 30 2 *', 'mail')");
  const std::string job = insert(db, "status, completed_at", "'completed', now()");
  db.exec("INSERT INTO rowcrew.tick (schedule, due_at, job_id) VALUES ('yearly', '2026-01-01T00:00+01', '" + job + "'), ('off', '2026-01-01Z', gen_random_uuid())");
  CHECK(cli.run({"schedules"}) == 0);
  CHECK(cli.out().find("-12-31 23:00:00 UTC") != std::string::npos);
  CHECK(cli.out().find(job + "  completed\n") != std::string::npos);
  CHECK(cli.out().find("no job\n") != std::string::npos);
  CHECK(cli.out().find("every 1m") != std::string::npos);
  CHECK(cli.out().find("never") != std::string::npos);
  CHECK(cli.run({"schedules", "--json"}) == 0);
  std::map<std::string, json> found;
  std::istringstream lines(cli.out());
  for (std::string line; std::getline(lines, line);) {
    const json one = json::parse(line);
    found[one.at("name").get<std::string>()] = one;
  }
  REQUIRE(found.size() == 4);
  CHECK(found["yearly"].at("status") == "completed");
  CHECK(found["yearly"].at("last") == "2025-12-31T23:00:00Z");
  CHECK(found["yearly"].at("overdue") == false);
  CHECK(found["off"].at("due") == nullptr);
  CHECK(found["late"].at("overdue") == true);
  CHECK(found["leap"].at("due") == nullptr);
}

TEST_CASE("schedules: one that is due every thirty days is listed like any other" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  db.exec("DELETE FROM rowcrew.schedule");
  db.exec("INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('monthly', 2592000000, 'mail'), ('minutely', 60000, 'mail')");
  CHECK(cli.run({"schedules"}) == 0);
  CHECK(cli.out().find("every 30d") != std::string::npos);
  CHECK(cli.out().find("every 1m") != std::string::npos);
}

TEST_CASE("limit: set says what the rule is about now, the list gives programs numbers and times with a zone" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  CHECK(cli.run({"limit", "set", "a", "--queue", "mail", "--type", "mail", "--by", "tenant", "--running", "4"}) == 0);
  CHECK(cli.out() == "limit a is set: at most 4 at once, jobs of queue mail and type mail, one key for each tenant\n");
  CHECK(cli.run({"limit", "set", "a", "--running", "8"}) == 0);
  CHECK(cli.out() == "limit a is set: at most 8 at once, all jobs, one key\n");
  CHECK(cli.run({"limit", "set", "b", "--type", "mail", "--units", "60", "--per", "1m", "--burst", "100"}) == 0);
  CHECK(cli.out() == "limit b is set: 60 per 1m, up to 100 from a full bucket, jobs of type mail, one key\n");
  insert(db, "queue", "'mail'");
  CHECK(cli.run({"limit", "keys", "a", "--json"}) == 0);
  CHECK(json::parse(cli.out()) == json{{"key", "a"}, {"running", 0}, {"room", 8}, {"waiting", 1}, {"paused", false}, {"paused_until", nullptr}});
  CHECK(cli.run({"limit", "keys", "nobody"}) == 64);
  CHECK(cli.run({"limit", "remove", "a"}) == 0);
  CHECK(cli.run({"limit", "--json"}) == 0);
  json rule = json::parse(cli.out());
  CHECK(is_iso_time(db, rule.at("set_at")));
  rule.erase("set_at");
  CHECK(rule == json{{"name", "b"}, {"queue", nullptr}, {"type", "mail"}, {"by", nullptr}, {"running", nullptr}, {"units", 60}, {"per_ms", 60000},
                     {"burst", 100}, {"weight", nullptr}, {"keys", 0}, {"set_by", operators.name()}});
  CHECK(cli.run({"limit"}) == 0);
  CHECK(cli.out().find(" UTC\n") != std::string::npos);
}

TEST_CASE("limit: a rule may get another number when nobody of late had a value of its key") {
  const TempDatabase db;
  CliBench cli(db.url());
  db.exec("SET rowcrew.engine = ''; INSERT INTO rowcrew.job_queue (job_type, tenant) VALUES ('mail', 'a')");
  CHECK(cli.run({"limit", "set", "a", "--type", "mail", "--by", "tenant", "--running", "4"}) == 0);
  db.exec("SET rowcrew.engine = ''; INSERT INTO rowcrew.job_queue (job_type) SELECT 'mail' FROM generate_series(1, 1000)");
  CHECK(cli.run({"limit", "set", "a", "--type", "mail", "--by", "tenant", "--running", "8"}) == 0);
  CHECK(db.value("SELECT max_running FROM rowcrew.job_limit") == "8");
  CHECK(cli.run({"limit", "set", "b", "--type", "mail", "--by", "tenant", "--running", "8"}) == 64);
  CHECK(cli.err().find("by: 'tenant', expected a value that one of the last 1000 such jobs has") != std::string::npos);
}

TEST_CASE("limit: set and remove are given the time that moving a million jobs takes, and wait for another operator's") {
  const TempDatabase db;
  CliBench cli(db.url());
  db.exec("CREATE FUNCTION public.patient() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " ASSERT least(current_setting('statement_timeout')::interval, current_setting('lock_timeout')::interval) >= interval '5 minutes';"
          " RETURN coalesce(NEW, OLD); END $$;"
          "CREATE TRIGGER patient BEFORE INSERT OR DELETE ON rowcrew.job_limit FOR EACH ROW EXECUTE FUNCTION public.patient()");
  CHECK(cli.run({"limit", "set", "a", "--running", "1"}) == 0);
  CHECK(cli.run({"limit", "remove", "a"}) == 0);
}

TEST_CASE("cancel: one job, or those that meet a condition; everything only by --all" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  const std::string id = insert(db);
  CHECK(cli.run({"cancel", id, "--reason", "typo"}) == 0);
  CHECK(cli.out() == "cancelled\n");
  CHECK(cli.run({"cancel", id, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("answer") == "ended");
  CHECK(cli.run({"cancel", "00000000-0000-7000-8000-000000000001"}) == 1);
  for (int i = 0; i < 3; ++i) insert(db, "tenant", "'acme'");
  insert(db);
  CHECK(cli.run({"cancel", "--tenant", "acme", "--preview"}) == 0);
  CHECK(cli.out() == "would cancel 3\n");
  CHECK(cli.run({"cancel", "--tenant", "acme"}) == 0);
  CHECK(cli.out() == "cancelled 3\n");
  CHECK(cli.run({"cancel"}) == 64);
  CHECK(cli.err().find("--all") != std::string::npos);
  CHECK(cli.run({"cancel", id, "--type", "mail"}) == 64);
  CHECK(cli.run({"cancel", "--created-after", "soon"}) == 64);
  CHECK(cli.err().find("filter.created_after") != std::string::npos);
  CHECK(cli.run({"cancel", "--all", "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("changed") == 1);
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'cancelled'") == "5");
}

TEST_CASE("redrive: one job by its id, and no other; what has not failed is told" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  const std::string columns = "status, attempts, error_code, completed_at, unique_key";
  const std::string id = insert(db, columns, "'failed', 5, 'http_500', now(), 'k'");
  insert(db, columns, "'failed', 5, 'http_500', now(), NULL");
  CHECK(cli.run({"redrive", id, "--reason", "mended"}) == 0);
  CHECK(cli.out() == "redriven\n");
  CHECK(db.value("SELECT string_agg(concat_ws('|', status, attempts), ', ' ORDER BY id) FROM rowcrew.job_queue") == "pending|0, failed|5");
  CHECK(db.value("SELECT concat_ws('|', action, target, metadata ->> 'reason') FROM rowcrew.audit_logs") ==
        "job.redrive|job_queue " + id + "|mended");
  CHECK(cli.run({"redrive", id}) == 1);
  CHECK(cli.err() == "rowcrew: job " + id + ": pending, expected one that failed\n");
  CHECK(cli.run({"redrive", "00000000-0000-7000-8000-000000000001"}) == 1);
  const std::string rival = insert(db, columns, "'failed', 5, 'http_500', now(), 'k'");
  CHECK(cli.run({"redrive", rival, "--json"}) == 1);
  CHECK(cli.err().find("unique key 'k' is taken by job " + id) != std::string::npos);
  db.exec("UPDATE rowcrew.job_queue SET status = 'cancelled' WHERE id = '" + id + "'");
  CHECK(cli.run({"redrive", rival, "--json"}) == 0);
  CHECK(json::parse(cli.out()) == json{{"job", rival}, {"answer", "redriven"}});
  for (const char* beside : {"--all", "--preview", "--continue=1", "--rate=1"}) CHECK(cli.run({"redrive", id, beside}) == 64);
  CHECK(cli.run({"redrive", "orders:7"}) == 64);
}

TEST_CASE("redrive: changes what the preview said, at the rate that was asked for" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, error_code, completed_at) "
          "SELECT 'mail', 'failed', 'http_500', now() - interval '1 minute' FROM generate_series(1, 300)");
  CHECK(cli.run({"redrive", "--error-code", "http_500", "--preview", "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("would_change") == 300);
  const auto began = std::chrono::steady_clock::now();
  CHECK(cli.run({"redrive", "--error-code", "http_500", "--rate", "500"}) == 0);
  CHECK(cli.out() == "redriven 300\n");
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took > std::chrono::milliseconds(450));
  CHECK(cli.run({"redrive", "--rate", "0", "--all"}) == 64);
  CHECK(cli.run({"redrive"}) == 64);
}

TEST_CASE("redrive: interrupted, it says how to go on, and goes on there" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at) "
          "SELECT 'mail', 'failed', now() - interval '1 minute' FROM generate_series(1, 100)");
  std::thread interrupt([&] {
    for (int i = 0; i < 3'000; ++i) {
      if (db.value("SELECT count(*) > 0 FROM rowcrew.job_queue WHERE status = 'pending'") == "t") break;
    }
    ::kill(::getpid(), SIGTERM);
  });
  CHECK(cli.run({"redrive", "--all", "--rate", "10"}) == 1);
  interrupt.join();
  const std::string number = db.value("SELECT id FROM rowcrew.audit_logs");
  CHECK(cli.err() == "interrupted: go on with rowcrew redrive --continue " + number + "\n");
  const std::string changed = db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'");
  CHECK(std::stoi(changed) < 100);
  CHECK(cli.run({"redrive", "--continue", number, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("changed") == 100 - std::stoi(changed));
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'") == "100");
  CHECK(db.value("SELECT count(*) FROM rowcrew.audit_logs") == "1");
}

TEST_CASE("redrive does not go on with a cancel, nor with what is no act") {
  const TempDatabase db;
  CliBench cli(db.url());
  insert(db);
  const std::string number = db.value("SELECT rowcrew.act_begin('cancel', '{\"all\": true}')::text");
  CHECK(cli.run({"redrive", "--continue", number}) == 64);
  CHECK(cli.err() == "rowcrew: --continue: act " + number + " is a cancel, expected a redrive\n");
  CHECK(cli.run({"cancel", "--continue", "4711"}) == 64);
  CHECK(db.value("SELECT status FROM rowcrew.job_queue") == "pending");
  CHECK(cli.run({"cancel", "--continue", number}) == 0);
  CHECK(cli.out() == "cancelled 1\n");
}

TEST_CASE("redrive: an error in the middle says what was done and how to go on, and goes on there") {
  const TempDatabase db;
  CliBench cli(db.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at)"
          " SELECT 'mail', 'failed', now() - interval '1 minute' FROM generate_series(1, 20);"
          "UPDATE rowcrew.job_queue SET priority = 7 WHERE id = (SELECT max(id::text)::uuid FROM rowcrew.job_queue);"
          "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.gone(); RETURN NEW; END $$;"
          "CREATE TRIGGER no BEFORE UPDATE ON rowcrew.job_queue FOR EACH ROW WHEN (NEW.priority = 7) EXECUTE FUNCTION public.no()");
  CHECK(cli.run({"redrive", "--all", "--rate", "100"}) == 1);
  const std::string number = db.value("SELECT id FROM rowcrew.audit_logs");
  CHECK(cli.out() == "redriven 10\n");
  CHECK(cli.err().starts_with("interrupted: go on with rowcrew redrive --continue " + number + "\nrowcrew: "));
  CHECK(cli.err().find("function public.gone() does not exist") != std::string::npos);
  CHECK(cli.err().find("migrate") == std::string::npos);
  db.exec("DROP TRIGGER no ON rowcrew.job_queue");
  CHECK(cli.run({"redrive", "--continue", number}) == 0);
  CHECK(cli.out() == "redriven 10\n");
}

TEST_CASE("redrive: a page that meets a held act and a lost connection is tried again, and counts once") {
  const TempDatabase db;
  CliBench cli(db.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at)"
          " SELECT 'mail', 'failed', now() - interval '1 minute' FROM generate_series(1, 3)");
  const std::string number = db.value("SELECT rowcrew.act_begin('redrive', '{\"all\": true}')::text");
  std::promise<void> held;
  std::thread other([&] {
    run_once(db.options(), TxMode::transaction, [&](Tx& tx) {
      tx.exec(Statement{"hold", "SELECT FROM rowcrew.audit_logs FOR UPDATE"});
      held.set_value();
      // Each try of the page waits for our lock: the first loses its connection, the second its patience.
      const auto next = [&](const std::string& but) {
        std::string found;
        for (int i = 0; i < 10'000 && found.empty(); ++i) {
          found = db.value("SELECT coalesce(min(pid || ' ' || query_start), '') FROM pg_stat_activity WHERE datname = current_database()"
                           " AND wait_event_type = 'Lock' AND pid || ' ' || query_start <> $1", Params{}.add(but));
        }
        return found;
      };
      const std::string first = next("");
      db.value("SELECT pg_terminate_backend($1::int)", Params{}.add(first.substr(0, first.find(' '))));
      next(next(first));
    });
  });
  held.get_future().get();
  CHECK(cli.run({"redrive", "--continue", number}) == 0);
  other.join();
  CHECK(cli.out() == "redriven 3\n");
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'") == "3");
}

TEST_CASE("viewers may ask why and see pauses, and change nothing" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  const std::string id = insert(db);
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.run({"pause", "queue", "default"}) == 1);
  CHECK(cli.run({"cancel", id}) == 1);
  CHECK(cli.run({"redrive", "--all"}) == 1);
  CHECK(cli.err().find("permission denied") != std::string::npos);
}

}  // namespace rowcrew::testing
