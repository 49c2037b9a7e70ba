// What running handlers say of themselves, and what deadlines look at.
#include "held_transaction.hpp"
#include "queue/job_control.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

ProgressWord word(const std::string& id, std::int64_t token, std::optional<int> percent, std::optional<std::string> note = std::nullopt,
                  std::optional<std::string> checkpoint = std::nullopt) {
  ProgressWord w;
  w.id = id;
  w.token = token;
  w.percent = percent;
  w.note = std::move(note);
  w.checkpoint = std::move(checkpoint);
  return w;
}

Ids write(QueueBench& b, std::vector<ProgressWord> words) {
  JobControl control(b.pool, table_map(b.table));
  return b.await(control.write_progress(std::move(words)));
}

std::string found(QueueBench& b, const std::string& id) {
  return b.value("SELECT coalesce((SELECT concat_ws('|', coalesce(percent::text, '-'), coalesce(note, '-'), coalesce(checkpoint::text, '-')) "
                 "FROM rowcrew.job_progress WHERE job_id = $1::uuid), 'none')", Params{}.add(id));
}

}  // namespace

TEST_CASE("progress: is written for several jobs at once, and what is not said stays") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const Ids ids = b.insert(2);
    b.claim(b.node());
    const std::int64_t token = b.last_token();
    CHECK(write(b, {word(ids[1], token, 10), word(ids[0], token, 20, "half", R"({"page": 1})")}).size() == 2);
    CHECK(write(b, {word(ids[0], token, 30)}).size() == 1);
    CHECK(found(b, ids[0]) == R"(30|half|{"page": 1})");
    CHECK(found(b, ids[1]) == "10|-|-");
    CHECK(b.run(sql::progress_checkpoint, Params{}.add(table).add(ids[0])).text(0, 0) == R"({"page": 1})");
    CHECK(b.run(sql::progress_checkpoint, Params{}.add(table).add(ids[1])).empty());
  }
}

TEST_CASE("progress: without the claim nothing is written, the next execution finds the checkpoint") {
  QueueBench b;
  const std::string id = b.insert_one();
  const NodeIdentity node = b.node();
  auto claimed = b.claim(node);
  const std::int64_t first = b.last_token();
  write(b, {word(id, first, 40, std::nullopt, "3")});
  b.end(claimed, Retry("x", "y", std::chrono::milliseconds(0)));
  CHECK(write(b, {word(id, first, 50, std::nullopt, "4")}).empty());  // ended
  b.exec("UPDATE {t} SET scheduled_at = now() - interval '1 second'");
  b.claim(node);
  CHECK(write(b, {word(id, first, 60, std::nullopt, "5")}).empty());  // another's by now
  CHECK(found(b, id) == "40|-|3");
}

TEST_CASE("progress: a job whose row is locked is left out, its neighbour is written") {
  QueueBench b;
  const Ids ids = b.insert(2);
  b.claim(b.node());
  const HeldTransaction held(b.db, "UPDATE rowcrew.job_queue SET priority = 6 WHERE id = '" + ids[0] + "'");
  CHECK(write(b, {word(ids[0], b.last_token(), 1), word(ids[1], b.last_token(), 1)}) == Ids{ids[1]});
}

TEST_CASE("progress: is forgotten a day after the end, not before, and not while the job lives") {
  QueueBench b;
  const Ids ids = b.insert(3);
  b.claim(b.node());
  for (const std::string& id : ids) write(b, {word(id, b.last_token(), 1)});
  b.exec("UPDATE {t} SET status = 'completed' WHERE id <> '" + ids[0] + "'");
  b.exec("UPDATE rowcrew.job_progress SET updated_at = now() - interval '25 hours' WHERE job_id <> '" + ids[2] + "'");
  CHECK(b.run(sql::progress_forget, Params{}.add(10)).affected() == 1);
  CHECK(found(b, ids[0]) != "none");
  CHECK(found(b, ids[1]) == "none");
  CHECK(found(b, ids[2]) != "none");
}

TEST_CASE("progress: viewers see percent and note, never a checkpoint" * with_roles()) {
  QueueBench b;
  const LoginRole viewer(b.db, "rowcrew_viewer");
  CHECK(viewer.failure("SELECT percent, note FROM rowcrew.job_progress") == "");
  CHECK(viewer.failure("SELECT checkpoint FROM rowcrew.job_progress") == "42501");
}

TEST_CASE("deadlines: a job's age counts from its creation, its lateness from when it was due") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one("created_at, scheduled_at", "now() - interval '1 hour', now() - interval '10 minutes'");
    const std::string backdated = b.insert_one("created_at, scheduled_at", "now() - interval '1 minute', now() - interval '1 year'");
    JobControl control(b.pool, table_map(table));
    std::vector<JobAge> ages = b.await(control.ages({id, backdated}));
    REQUIRE(ages.size() == 2);
    if (ages[0].id != id) std::swap(ages[0], ages[1]);
    CHECK(ages[0].since_created >= std::chrono::minutes(60));
    CHECK(ages[0].since_created < std::chrono::minutes(61));
    CHECK(ages[0].since_due >= std::chrono::minutes(10));
    CHECK(ages[0].since_due < std::chrono::minutes(11));
    CHECK(ages[1].since_due < std::chrono::minutes(2));  // nobody could have started it before it was there
  }
}

TEST_CASE("deadlines: a job that was created before all time, or after it, has an age") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    JobControl control(b.pool, table_map(table));
    const std::string always = b.insert_one("created_at, scheduled_at", "'-infinity', '-infinity'");
    CHECK(b.await(control.ages({always})).at(0).since_due > std::chrono::years(50));
    const std::string never = b.insert_one("created_at", "'infinity'");
    CHECK(b.await(control.ages({never})).at(0).since_created == std::chrono::milliseconds(0));
    CHECK(b.await(control.ages({never})).at(0).since_due == std::chrono::milliseconds(0));
  }
}

TEST_CASE("results: go when their time is over, and the job stays") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const char* result = table == std::string("job_queue") ? "result" : "outputs";
    const std::string columns = std::string("status, completed_at, ") + result;
    const std::string old = b.insert_one(columns, "'completed', now() - interval '2 minutes', '1'");
    const std::string fresh = b.insert_one(columns, "'completed', now(), '1'");
    JobControl control(b.pool, table_map(table));
    CHECK(b.await(control.expire_results(0, 1000)) == 0);  // no policy, no end
    b.exec("INSERT INTO rowcrew.job_type (name, keep_result_ms) VALUES ('t', 60000)");
    CHECK(b.await(control.expire_results(0, 1000)) == 1);
    const std::string has = std::string("SELECT ") + result + " IS NOT NULL FROM {t} WHERE id = $1::uuid";
    CHECK(b.value(has, Params{}.add(old)) == "f");
    CHECK(b.value(has, Params{}.add(fresh)) == "t");
    CHECK(b.status(old) == "completed");
  }
}

TEST_CASE("policies: what makes no sense is refused when it is written, by the name of the field") {
  QueueBench b;
  const std::pair<const char*, const char*> refused[] = {
      {"job_type (name, retry_delays_ms) VALUES ('a', '{}')", "retry_delays_ms"},
      {"job_type (name, retry_delays_ms) VALUES ('a', '{1,-1}')", "retry_delays_ms"},
      {"job_type (name, retry_delays_ms) VALUES ('a', '{1,NULL}')", "retry_delays_ms"},
      {"job_type (name, retry_delays_ms) VALUES ('a', '{9999999999999}')", "retry_delays_ms"},
      {"job_type (name, retry_for_ms) VALUES ('a', 0)", "retry_for_ms"},
      {"job_type (name, start_within_ms) VALUES ('a', -5)", "start_within_ms"},
      {"job_type (name, total_ms) VALUES ('a', 1)", "total_ms"},
      {"job_type (name, total_ms, start_within_ms) VALUES ('a', 1000, 2000)", "start_within_ms_below_total_ms"},
      {"job_type (name, total_ms, retry_for_ms) VALUES ('a', 1000, 2000)", "retry_for_ms_below_total_ms"},
      {"job_type (name, max_result_bytes) VALUES ('a', -1)", "max_result_bytes"},
      {"job_type (name, keep_result_ms) VALUES ('a', 5)", "keep_result_ms"},
      {"retry_rule (job_type, error_code, verdict) VALUES ('a', 'x', 'maybe')", "verdict"},
      {"retry_rule (job_type, error_code, verdict) VALUES ('a', '', 'retry')", "error_code"},
      {"retry_rule (job_type, error_code, verdict, delays_ms) VALUES ('a', 'x', 'permanent', '{5}')", "delays_ms_only_when_verdict_is_retry"},
      {"retry_rule (job_type, error_code, verdict, delays_ms) VALUES ('a', 'x', 'retry', '{-5}')", "delays_ms"},
  };
  for (const auto& [row, field] : refused) {
    CAPTURE(row);
    std::string error;
    try {
      b.exec(std::string("INSERT INTO rowcrew.") + row);
    } catch (const DbError& e) {
      error = e.what();
    }
    CHECK(error.find(field) != std::string::npos);
  }
  b.exec("INSERT INTO rowcrew.job_type (name, retry_delays_ms, total_ms, retry_for_ms) VALUES ('a', '{100,2000}', 60000, 30000)");
  b.exec("INSERT INTO rowcrew.retry_rule VALUES ('*', 'gone', 'permanent', NULL), ('a', 'busy', 'retry', '{50}')");
  CHECK(b.run(sql::node_job_types).text(0, 4) == "100,2000");
  const Rows rules = b.run(sql::node_retry_rules);
  REQUIRE(rules.size() == 2);
  CHECK(rules.text(0, 0) == "*");
  CHECK(rules.boolean(0, 2));
  CHECK(rules.text(1, 3) == "50");
}
