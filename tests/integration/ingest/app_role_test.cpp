// The application's role: enqueues, reads and stops what it enqueued, and can do nothing else to a job. What operators and
// viewers may do by plain SQL.
#include <doctest/doctest.h>

#include <string>

#include "support/db/login_role.hpp"

namespace rowcrew::testing {
namespace {

constexpr std::string_view kDenied = "42501";

}  // namespace

TEST_CASE("the application enqueues by INSERT and by function and reads its own jobs" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  const std::string id = app.value(
      "INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('mail', '{\"to\": 1}') RETURNING "
      "id");
  const std::string by_call = app.value("SELECT rowcrew.enqueue('mail', '{}')");
  app.query("SELECT * FROM rowcrew.enqueue_many('[{\"job_type\": \"mail\"}, {\"job_type\": \"mail\"}]')");
  app.query("INSERT INTO rowcrew.processing_jobs (type, prompt) VALUES ('image', 'a cat')");
  CHECK(app.value("SELECT count(*) FROM rowcrew.my_jobs") == "4");
  CHECK(app.value("SELECT status FROM rowcrew.my_jobs WHERE id = '" + id + "'") == "pending");
  CHECK(app.value("SELECT status FROM rowcrew.my_jobs WHERE id = '" + by_call + "'") == "pending");
  CHECK(app.value("SELECT prompt FROM rowcrew.my_processing_jobs") == "a cat");
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue_ready") == "4");
}

TEST_CASE("a model of an ORM inserts into the application's own jobs and reads the whole row back" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  CHECK(app.failure("INSERT INTO rowcrew.job_queue (job_type) VALUES ('mail') RETURNING *") == kDenied);
  const std::string job = app.value("INSERT INTO rowcrew.my_jobs (job_type, payload) VALUES ('mail', '{\"to\": 1}') RETURNING *");
  CHECK(db.value("SELECT concat_ws(' ', status, queue, enqueued_by) FROM rowcrew.job_queue WHERE id = '" + job + "'") == "pending default " + app.name());
  CHECK(app.value("INSERT INTO rowcrew.my_processing_jobs (type) VALUES ('image') RETURNING status") == "pending");
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue_ready") == "1");
  CHECK(app.failure("INSERT INTO rowcrew.my_jobs (job_type, status) VALUES ('mail', 'completed')") == kDenied);
  CHECK(app.failure("UPDATE rowcrew.my_jobs SET payload = '{}'") == kDenied);
  CHECK(app.failure("DELETE FROM rowcrew.my_jobs") == kDenied);
  CHECK(app.value("SELECT rowcrew.job_uuid('public_jobs', 1) IS NOT NULL") == "t");
}

TEST_CASE("the application looks at its jobs of late without reading all jobs" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  app.query("SELECT * FROM rowcrew.enqueue_many('[{\"job_type\": \"mail\"}, {\"job_type\": \"mail\"}]')");
  const auto since = [](const std::string& what, const std::string& time) {
    return "SELECT " + what + " FROM rowcrew.my_jobs WHERE id >= rowcrew.id_at(" + time + ")";
  };
  CHECK(app.value(since("count(*)", "now() - interval '1 minute'")) == "2");
  CHECK(app.value(since("count(*)", "now() + interval '1 minute'")) == "0");
  CHECK(app.value(since("count(*)", "'-infinity'")) == "2");
  CHECK(app.value(since("count(*)", "'infinity'")) == "0");
  CHECK(app.value(since("bool_and(id >= rowcrew.id_at(created_at - interval '1 s') AND id < rowcrew.id_at(created_at + interval '1 s'))", "'1970-01-01'")) == "t");
  db.exec("INSERT INTO rowcrew.job_queue (id, job_type, status) SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'mail', 'completed'"
          " FROM generate_series(1, 2000) i; ANALYZE rowcrew.job_queue");
  std::string plan;
  const Rows lines = app.query("EXPLAIN " + since("status", "now() - interval '1 minute'") + " ORDER BY id DESC LIMIT 5");
  for (std::size_t i = 0; i < lines.size(); ++i) plan += lines.text(i, 0);
  CHECK(plan.find("Index Cond: (id >=") != std::string::npos);
}

TEST_CASE("one application does not see another's jobs" * with_roles()) {
  const TempDatabase db;
  const LoginRole shop(db, "rowcrew_app");
  const LoginRole blog(db, "rowcrew_app");
  shop.query("INSERT INTO rowcrew.job_queue (job_type) VALUES ('mail')");
  CHECK(blog.value("SELECT count(*) FROM rowcrew.my_jobs") == "0");
  CHECK(blog.failure("SELECT payload FROM rowcrew.job_queue") == kDenied);
}

TEST_CASE("the application stops its own jobs, waiting or running, and nobody else's" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  const LoginRole pooler(db, "");
  db.exec("GRANT " + app.name() + " TO " + pooler.name());
  const std::string waits = app.value("SELECT rowcrew.enqueue('mail')");
  const std::string runs = app.value("INSERT INTO rowcrew.processing_jobs (type) VALUES ('image') RETURNING id");
  const std::string other = db.value("SELECT rowcrew.enqueue('mail')");
  db.exec("UPDATE rowcrew.processing_jobs SET status = 'processing', claim_token = 1");
  const auto cancel = [](const std::string& id) { return "SELECT rowcrew.cancel_my_job('" + id + "', 'not wanted')"; };
  CHECK(pooler.value(cancel(waits)) == "unknown");
  CHECK(app.value(cancel(other)) == "unknown");
  CHECK(app.value(cancel(waits)) == "cancelled");
  CHECK(app.value(cancel(waits)) == "ended");
  CHECK(app.value(cancel(runs)) == "requested");
  CHECK(app.value("SELECT error_message FROM rowcrew.my_jobs") == "cancelled by " + app.name() + ": not wanted");
  CHECK(db.value("SELECT job_id || ' ' || requested_by FROM rowcrew.cancel_request") == runs + " " + app.name());
  CHECK(db.value("SELECT status FROM rowcrew.job_queue WHERE id = '" + other + "'") == "pending");
  // Through a pooler's login the jobs are those of the role that was set.
  const std::string again = app.value("INSERT INTO rowcrew.job_queue (job_type) VALUES ('mail') RETURNING id");
  CHECK(pooler.value(cancel(again) + " FROM (SELECT set_config('role', '" + app.name() + "', true)) AS set_role") == "cancelled");
}

TEST_CASE("a job with the id of a stranger's in the other table gives no hold on that one, and hides it from nobody" * with_roles()) {
  const TempDatabase db;
  const LoginRole shop(db, "rowcrew_app");
  const LoginRole blog(db, "rowcrew_app");
  const LoginRole operators(db, "rowcrew_operator");
  const std::string job = shop.value("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('mail', '2999-01-01') RETURNING id");
  blog.query("INSERT INTO rowcrew.processing_jobs (id, type, scheduled_at) VALUES ('" + job + "', 'decoy', '2998-01-01')");
  CHECK(operators.value("SELECT line FROM rowcrew.why('" + job + "')") == "not due until 2999-01-01 00:00:00 UTC");
  CHECK(blog.value("SELECT rowcrew.cancel_my_job('" + job + "')") == "cancelled");
  CHECK(shop.value("SELECT status FROM rowcrew.my_jobs") == "pending");
  CHECK(blog.value("SELECT status FROM rowcrew.my_processing_jobs") == "cancelled");
  CHECK(operators.value("SELECT rowcrew.cancel('" + job + "')") == "cancelled");
  CHECK(shop.value("SELECT status FROM rowcrew.my_jobs") == "cancelled");
  db.exec("UPDATE rowcrew.job_queue SET status = 'failed'");
  CHECK(operators.value("SELECT rowcrew.redrive('" + job + "')") == "redriven");
  CHECK(shop.value("SELECT status FROM rowcrew.my_jobs") == "pending");
}

TEST_CASE("the application reads how far its jobs have come, and no other's" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  const std::string job = app.value("SELECT rowcrew.enqueue('long')");
  const std::string generation = app.value("INSERT INTO rowcrew.processing_jobs (type) VALUES ('long') RETURNING id");
  db.exec("INSERT INTO rowcrew.job_queue (job_type) VALUES ('other')");
  db.exec("INSERT INTO rowcrew.job_progress (job_table, job_id, percent, note) SELECT 'job_queue', id, 45, 'page 9' FROM rowcrew.job_queue"
          " UNION ALL SELECT 'processing_jobs', id, 70, NULL FROM rowcrew.processing_jobs");
  CHECK(app.value("SELECT string_agg(concat_ws(' ', job_table, job_id, percent, note), ', ' ORDER BY percent) FROM rowcrew.my_progress") ==
        "job_queue " + job + " 45 page 9, processing_jobs " + generation + " 70");
  CHECK(app.failure("SELECT checkpoint FROM rowcrew.job_progress") == kDenied);
}

TEST_CASE("an operator runs a job again whose unique key another has by now, without the key, as the error advises" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  for (const char* table : {"job_queue", "processing_jobs"}) {
    const std::string name = std::string("rowcrew.") + table;
    const std::string type = table == std::string("job_queue") ? "job_type" : "type";
    db.exec("INSERT INTO " + name + " (" + type + ", status, unique_key) VALUES ('mail', 'failed', 'k'), ('mail', 'failed', 'k')");
    operators.query("UPDATE " + name + " SET status = 'pending' WHERE id = (SELECT min(id::text)::uuid FROM " + name + ")");
    CHECK(operators.failure("UPDATE " + name + " SET status = 'pending' WHERE status = 'failed'") == "23505");
    operators.query("UPDATE " + name + " SET status = 'pending', unique_key = NULL WHERE status = 'failed'");
    CHECK(db.value("SELECT count(*) FROM " + name + " WHERE status = 'pending'") == "2");
  }
}

TEST_CASE("an operator signs no act with another's name or another time" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CHECK(operators.failure("INSERT INTO rowcrew.audit_logs (action, target, actor) VALUES ('a', 't', 'boss')") == kDenied);
  CHECK(operators.failure("INSERT INTO rowcrew.audit_logs (action, target, created_at) VALUES ('a', 't', '2020-01-01')") == kDenied);
  CHECK(operators.failure("INSERT INTO rowcrew.node_command (command, issued_by) VALUES ('drain', 'boss')") == kDenied);
  operators.query("INSERT INTO rowcrew.audit_logs (action, target, metadata) VALUES ('a', 't', '{}')");
  CHECK(db.value("SELECT actor FROM rowcrew.audit_logs WHERE action = 'a'") == operators.value("SELECT session_user"));
}

TEST_CASE("a viewer sees what is scheduled, but no payload" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  db.exec("INSERT INTO rowcrew.schedule (name, every_ms, job_type, payload) VALUES ('often', 1000, 'mail', '{\"to\": 1}')");
  CHECK(viewer.value("SELECT concat_ws('|', every_ms, job_type, enabled, overlap) FROM rowcrew.schedule WHERE name = 'often'") == "1000|mail|t|t");
  CHECK(viewer.failure("SELECT payload FROM rowcrew.schedule") == kDenied);
}

TEST_CASE("status, claim token and owner are not the application's to set" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  for (const char* const column :
       {"status", "claim_token", "worker_id", "attempts", "crashes", "result", "started_at",
        "completed_at", "error_code", "enqueued_by", "created_at"}) {
    CAPTURE(column);
    CHECK(app.failure("INSERT INTO rowcrew.job_queue (job_type, " + std::string(column) +
                      ") VALUES ('mail', NULL)") == kDenied);
  }
}

TEST_CASE("no job can be changed or removed, neither its own nor another's" * with_roles()) {
  const TempDatabase db;
  const LoginRole app(db, "rowcrew_app");
  app.query("INSERT INTO rowcrew.job_queue (job_type) VALUES ('mail')");
  db.exec("INSERT INTO rowcrew.job_queue (job_type) VALUES ('other')");
  for (const char* const attempt :
       {"UPDATE rowcrew.job_queue SET status = 'completed'",
        "UPDATE rowcrew.job_queue SET claim_token = 1",
        "UPDATE rowcrew.job_queue SET payload = '{}'",
        "UPDATE rowcrew.my_jobs SET status = 'pending'",
        "UPDATE rowcrew.processing_jobs SET status = 'cancelled'", "DELETE FROM rowcrew.job_queue",
        "DELETE FROM rowcrew.my_jobs", "TRUNCATE rowcrew.job_queue", "TABLE rowcrew.job_queue",
        "SELECT FROM rowcrew.job_queue FOR UPDATE", "TABLE rowcrew.job_queue_ready",
        "INSERT INTO rowcrew.job_queue_ready SELECT", "TABLE rowcrew.api_key",
        "TABLE rowcrew.job_unique", "SELECT rowcrew.ingest_key('x')", "SELECT rowcrew.takeover()",
        "SELECT rowcrew.set_clock_offset('1h')",
        "SELECT rowcrew.enqueue_keyed('x', 'mail', '{}', NULL, 5, now(), 5, 'k', NULL, NULL, 'replace')"}) {
    CAPTURE(attempt);
    CHECK(app.failure(attempt) == kDenied);
  }
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'") == "2");
}

}  // namespace rowcrew::testing
