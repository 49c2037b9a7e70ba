// The application's role: enqueues, reads what it enqueued, and can do nothing to a job.
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

TEST_CASE("one application does not see another's jobs" * with_roles()) {
  const TempDatabase db;
  const LoginRole shop(db, "rowcrew_app");
  const LoginRole blog(db, "rowcrew_app");
  shop.query("INSERT INTO rowcrew.job_queue (job_type) VALUES ('mail')");
  CHECK(blog.value("SELECT count(*) FROM rowcrew.my_jobs") == "0");
  CHECK(blog.failure("SELECT payload FROM rowcrew.job_queue") == kDenied);
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
        "SELECT rowcrew.enqueue_keyed('x', 'mail', '{}', NULL, 5, now(), 5, 'k', NULL, 'replace')"}) {
    CAPTURE(attempt);
    CHECK(app.failure(attempt) == kDenied);
  }
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'") == "2");
}

}  // namespace rowcrew::testing
