// Pausing queues, job types and tenants, and letting them go.
#include <nlohmann/json.hpp>

#include "queue/job_control.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct PauseBench : QueueBench {
  explicit PauseBench(const std::string& of = "job_queue") : QueueBench(of), control(pool, table_map(of)) {}
  void pause(const char* scope, const char* name, std::optional<std::string> span = std::nullopt) {
    run(sql::cli_pause, Params{}.add(scope).add(name).add("a test").add(span));
  }
  bool resume(const char* scope, const char* name) { return run(sql::cli_resume, Params{}.add(scope).add(name)).boolean(0, 0); }
  Ids paused_among(const std::vector<ClaimedJob>& claimed) { return sorted(await(control.paused_among(ids_of(claimed)))); }
  void hold(const std::vector<ClaimedJob>& claimed) {
    std::vector<std::int64_t> tokens;
    for (const ClaimedJob& job : claimed) tokens.push_back(job.job.claim_token);
    await(control.hold(ids_of(claimed), tokens, {claimed.front().job.claim_token}));
  }
  JobControl control;
};

std::string refusal(PauseBench& b, const char* scope, const char* name, std::optional<std::string> span = std::nullopt) {
  try {
    b.pause(scope, name, span);
    return "";
  } catch (const DbError& e) {
    CHECK(e.sqlstate() == "22023");
    return e.what();
  }
}

}  // namespace

TEST_CASE("pause: nodes read what is paused, its flag in queue included, and for how long") {
  PauseBench b;
  b.pause("queue", "q", "60000");
  b.pause("type", "t");
  b.exec("INSERT INTO rowcrew.queue (name, paused) VALUES ('flagged', true), ('open', false)");
  const Rows rows = b.run(sql::pause_active);
  Ids found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    found.push_back(std::string(rows.text(i, 0)) + " " + std::string(rows.text(i, 1)) + (rows.is_null(i, 2) ? "" : " for a while"));
  }
  CHECK(sorted(found) == Ids{"queue flagged", "queue q for a while", "type t"});
  CHECK(b.run(sql::cli_pauses).size() == 3);
  b.exec("UPDATE rowcrew.pause SET since = now() - interval '2 hours', until = now() - interval '1 hour' WHERE scope = 'queue'");
  CHECK(b.run(sql::pause_active).size() == 2);
  CHECK(b.run(sql::cli_pauses).size() == 2);
}

TEST_CASE("pause and resume: each is one audit row with before and after") {
  PauseBench b;
  b.pause("type", "t", "60000");
  b.pause("type", "t");
  CHECK(b.resume("type", "t"));
  CHECK_FALSE(b.resume("type", "t"));
  const Rows rows = b.query("SELECT action, target, metadata FROM rowcrew.audit_logs ORDER BY id");
  REQUIRE(rows.size() == 3);
  const auto second = nlohmann::json::parse(rows.text(1, 2));
  CHECK(rows.text(1, 0) == "pause");
  CHECK(rows.text(1, 1) == "type t");
  CHECK(second.at("before").at("until").is_string());
  CHECK(second.at("after").at("until").is_null());
  CHECK(second.at("after").at("reason") == "a test");
  CHECK(rows.text(2, 0) == "resume");
  CHECK(nlohmann::json::parse(rows.text(2, 2)).at("after").is_null());
}

TEST_CASE("resume: a pause whose time is over is not said to be resumed") {
  PauseBench b;
  b.pause("type", "t", "60000");
  b.exec("UPDATE rowcrew.pause SET since = now() - interval '2 hours', until = now() - interval '1 hour'");
  CHECK_FALSE(b.resume("type", "t"));
  CHECK(b.count("rowcrew.pause") == 0);
  CHECK(b.number("SELECT count(*) FROM rowcrew.audit_logs WHERE action = 'resume'") == 0);
}

TEST_CASE("resume: a queue paused by its flag is resumed, too") {
  PauseBench b;
  b.exec("INSERT INTO rowcrew.queue (name, paused) VALUES ('q', true), ('other', true)");
  CHECK(b.resume("queue", "q"));
  CHECK(b.value("SELECT string_agg(name, ',') FROM rowcrew.queue WHERE paused") == "other");
  CHECK(b.resume("queue", "other"));
  CHECK(b.run(sql::pause_active).empty());
}

TEST_CASE("settings: a change by plain SQL is in the audit log, with what was before and after") {
  PauseBench b;
  b.exec("INSERT INTO rowcrew.queue (name, paused) VALUES ('q', true)");
  b.exec("UPDATE rowcrew.queue SET paused = false");
  b.exec("INSERT INTO rowcrew.retry_rule VALUES ('t', 'x', 'permanent')");
  b.exec("INSERT INTO rowcrew.job_type (name) VALUES ('t')");
  b.exec("DELETE FROM rowcrew.job_type");
  const Rows rows = b.query("SELECT action, target, metadata FROM rowcrew.audit_logs ORDER BY id");
  REQUIRE(rows.size() == 5);
  CHECK(rows.text(1, 0) == "setting.update");
  CHECK(rows.text(1, 1) == "queue q");
  CHECK(nlohmann::json::parse(rows.text(1, 2)).at("before").at("paused") == true);
  CHECK(nlohmann::json::parse(rows.text(1, 2)).at("after").at("paused") == false);
  CHECK(rows.text(2, 1) == "retry_rule t x");
  CHECK(rows.text(4, 0) == "setting.delete");
  CHECK(nlohmann::json::parse(rows.text(4, 2)).at("after").is_null());
}

TEST_CASE("pause: what makes no sense is refused by the name of the field") {
  PauseBench b;
  CHECK(refusal(b, "galaxy", "q").find("scope: 'galaxy'") != std::string::npos);
  CHECK(refusal(b, "queue", "").find("name: ''") != std::string::npos);
  CHECK(refusal(b, "queue", "q", "0").find("for: '00:00:00'") != std::string::npos);
  CHECK(refusal(b, "queue", "q", "-5").find("for: ") != std::string::npos);
  CHECK(refusal(b, "queue", "q", "400000000000").find("for: ") != std::string::npos);
  CHECK(b.count("rowcrew.pause") == 0);
  CHECK(b.count("rowcrew.audit_logs") == 0);
}

TEST_CASE("pause: of a claim, the jobs of a paused type or tenant are found") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string by_type = b.insert_one();
    const std::string by_tenant = b.insert_one("tenant", "'acme'");
    const auto claimed = b.claim(b.node());
    CHECK(b.paused_among(claimed).empty());
    b.pause("tenant", "acme");
    CHECK(b.paused_among(claimed) == Ids{by_tenant});
    b.pause("type", "t", "60000");
    CHECK(b.paused_among(claimed) == sorted({by_type, by_tenant}));
    b.exec("UPDATE rowcrew.pause SET since = now() - interval '2 hours', until = now() - interval '1 hour' WHERE scope = 'type'");
    CHECK(b.paused_among(claimed) == Ids{by_tenant});
  }
}

TEST_CASE("pause: what a claim brought is laid aside once, keeps its time, and comes back with the resume") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string fresh = b.insert_one();
    const std::string retried = b.insert_one("status, attempts, error_code", "'retrying', 1, 'x'");
    const std::string before = b.value("SELECT string_agg(scheduled_at::text, ',' ORDER BY id) FROM {t}");
    b.pause("type", "t");
    b.hold(b.claim(b.node()));
    CHECK(b.hints(fresh) == "parked:paused");
    CHECK(b.hints(retried) == "parked:paused");
    CHECK(b.status(fresh) == "pending");
    CHECK(b.status(retried) == "retrying");
    CHECK(b.value("SELECT string_agg(scheduled_at::text, ',' ORDER BY id) FROM {t}") == before);
    CHECK(b.value("SELECT DISTINCT key FROM {parked}") == "type:t");
    CHECK(b.count("{claim}") == 0);
    CHECK(b.count("rowcrew.job_attempt") == 0);
    // No promotion meets it, and none waits for it for ever.
    CHECK(b.await(b.jobs.promote(100)).jobs == 0);
    CHECK(b.await(b.jobs.next_parked()).has_value());
    CHECK(b.await(b.control.held_keys()) == Ids{"type:t"});
    CHECK(b.await(b.control.release("type:t", 100)) == 0);  // still paused
    b.resume("type", "t");
    CHECK(b.await(b.control.release("type:t", 1)) == 1);
    CHECK(b.await(b.control.release("type:t", 100)) == 1);
    CHECK(b.await(b.control.held_keys()).empty());
    CHECK(b.claim(b.node()).size() == 2);
  }
}

TEST_CASE("pause: a job that has met a node's death is laid aside like others, and runs with the resume") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(b.node());
    b.exec("UPDATE {t} SET crashes = 1");
    b.exec("DELETE FROM {parked}");
    b.pause("type", "t");
    b.hold(claimed);
    CHECK(b.hints(id) == "parked:paused");
    b.resume("type", "t");
    CHECK(b.await(b.control.release("type:t", 100)) == 1);
    CHECK(b.hints(id) == "parked:rescued");
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE run_at <= now()") == 1);
  }
}

TEST_CASE("pause: a job that is laid aside and becomes one of another type or tenant does not wait for the resume") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string typed = b.insert_one();
    const std::string owned = b.insert_one("tenant", "'acme'");
    b.pause("tenant", "acme");
    b.hold(b.claim(b.node()));
    b.pause("type", "t");
    b.hold(b.claim(b.node()));
    REQUIRE(b.hints(typed) == "parked:paused");
    REQUIRE(b.hints(owned) == "parked:paused");
    b.exec("UPDATE {t} SET {type} = 'other' WHERE tenant IS NULL");
    b.exec("UPDATE {t} SET tenant = 'else' WHERE tenant IS NOT NULL");
    CHECK(b.hints(typed) == "ready");
    CHECK(b.hints(owned) == "ready");
  }
}

TEST_CASE("pause: a job that is laid aside and ends, goes or is moved leaves no hint behind") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string cancelled = b.insert_one();
    const std::string deleted = b.insert_one();
    const std::string moved = b.insert_one();
    b.pause("type", "t");
    b.hold(b.claim(b.node()));
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(cancelled));
    b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(deleted));
    b.query("UPDATE {t} SET priority = 1 WHERE id = $1::uuid", Params{}.add(moved));
    CHECK(b.count("{parked}") == 0);
    CHECK(b.hints(moved) == "ready");  // the next claim lays it aside again
  }
}

TEST_CASE("pause: a job that is no longer paused when it is handed back is ready again") {
  PauseBench b;
  const std::string id = b.insert_one();
  b.hold(b.claim(b.node()));
  CHECK(b.hints(id) == "ready");
}

TEST_CASE("pause: other jobs are filed as ever while jobs are laid aside") {
  PauseBench b;
  b.insert(1);
  b.pause("type", "t");
  b.hold(b.claim(b.node()));
  const std::string id = b.insert_one();  // on the connections that have laid aside
  CHECK(b.hints(id) == "ready");
}

TEST_CASE("pause: the front of a queue is shelved without a write to its jobs, others stay") {
  for (const char* table : kJobTables) {
    PauseBench b(table);
    const std::string other = b.value("INSERT INTO {t} ({type}, queue) VALUES ('other', 'q') RETURNING id");
    const Ids ids = b.insert(20);
    b.pause("type", "t");
    const std::string before = b.value("SELECT string_agg(xmin::text || ctid::text, ',' ORDER BY id) FROM {t}");
    CHECK(b.await(b.control.shelve("q", 11)) == 10);
    CHECK(b.await(b.control.shelve("q", 100)) == 10);
    CHECK(b.value("SELECT string_agg(xmin::text || ctid::text, ',' ORDER BY id) FROM {t}") == before);
    CHECK(b.hints(other) == "ready");
    CHECK(b.hints(ids[0]) == "parked:paused");
    CHECK(b.count("{ready}") == 1);
    b.resume("type", "t");
    CHECK(b.await(b.control.release("type:t", 100)) == 20);
  }
}

TEST_CASE("pause: pausing and resuming a queue writes nothing to a hundred thousand ready jobs") {
  PauseBench b;
  b.insert(100'000);
  const auto written = [&] {
    return b.value("SELECT string_agg(pg_relation_size(oid)::text, ',' ORDER BY relname) FROM pg_class "
                   "WHERE relname IN ('job_queue', 'job_queue_ready', 'job_queue_parked')") +
           b.value("SELECT concat_ws(',', max(xmin::text::bigint), max(xmax::text::bigint), count(*)) FROM {ready}");
  };
  const std::string before = written();
  const auto began = std::chrono::steady_clock::now();
  b.pause("queue", "q");
  b.resume("queue", "q");
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
  CHECK(written() == before);
}

TEST_CASE("pause: operators may, viewers may not, and see it" * with_roles()) {
  PauseBench b;
  const LoginRole operators(b.db, "rowcrew_operator");
  const LoginRole viewer(b.db, "rowcrew_viewer");
  CHECK(viewer.failure("SELECT rowcrew.pause('queue', 'q')") == "42501");
  CHECK(viewer.failure("INSERT INTO rowcrew.pause (scope, name) VALUES ('queue', 'q')") == "42501");
  operators.query("SELECT rowcrew.pause('queue', 'q', 'upgrade')");
  CHECK(viewer.value("SELECT paused_by FROM rowcrew.pause") == operators.name());
  CHECK(operators.value("SELECT rowcrew.resume('queue', 'q')") == "t");
}
