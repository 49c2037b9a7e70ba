// Letting failed jobs run again.
#include <nlohmann/json.hpp>
#include <thread>

#include "held_transaction.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr const char* kFailed = "status, attempts, error_code, completed_at, created_at";

std::string failed_with(const char* code, const char* ago = "1 hour") {
  const std::string at = std::string("now() - interval '") + ago + "'";
  return std::string("'failed', 5, '") + code + "', " + at + ", " + at;
}

std::int64_t preview(QueueBench& b, const std::string& filter) {
  return b.run(sql::cli_preview, Params{}.add("redrive").add(filter)).integer(0, 0);
}

std::int64_t begin(QueueBench& b, const std::string& filter) {
  return b.run(sql::cli_act_begin, Params{}.add("redrive").add(filter).add("mended")).integer(0, 0);
}

/// One page: (changed, done).
std::pair<std::int64_t, bool> page(QueueBench& b, std::int64_t number, int limit = 500) {
  const Rows rows = b.run(sql::cli_act_page, Params{}.add(number).add(limit));
  return {rows.integer(0, 0), rows.boolean(0, 3)};
}

std::int64_t all_pages(QueueBench& b, std::int64_t number, int limit = 500) {
  std::int64_t changed = 0;
  for (;;) {
    const auto [some, done] = page(b, number, limit);
    changed += some;
    if (done) return changed;
  }
}

}  // namespace

TEST_CASE("redrive: a failed job waits anew with its first attempt before it, poison loses its crashes") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one(kFailed, failed_with("http_500"));
    const std::string poison = b.insert_one(std::string(kFailed) + ", crashes", failed_with("poison") + ", 3");
    CHECK(all_pages(b, begin(b, R"({"all": true})")) == 2);
    CHECK(b.value("SELECT concat_ws('|', status, attempts, crashes, completed_at IS NULL) FROM {t} WHERE id = $1::uuid", Params{}.add(poison)) ==
          "pending|0|0|t");
    CHECK(b.hints(id) == "ready");
    CHECK(b.claim(b.node()).size() == 2);
  }
}

TEST_CASE("redrive: by type, queue, error code and time, and the preview says how many") {
  QueueBench b;
  b.insert(3, kFailed, failed_with("http_500", "30 minutes"));
  b.insert(5, kFailed, failed_with("http_500", "3 hours"));
  b.insert(7, kFailed, failed_with("no_account", "3 hours"));
  b.insert(2, "status", "'completed'");
  const auto ago = [&](const char* span) { return b.value(std::string("SELECT to_char((now() - interval '") + span + "') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"); };
  const std::pair<std::string, std::int64_t> filters[] = {
      {R"({"error_code": "no_account"})", 7},
      {R"({"error_code": "http_500", "ended_after": ")" + ago("1 hour") + "\"}", 3},
      {R"({"type": "t", "queue": "q", "ended_before": ")" + ago("1 hour") + "\"}", 5},  // the others are redriven by then
      {R"({"type": "other"})", 0},
  };
  for (const auto& [filter, expected] : filters) {
    CAPTURE(filter);
    CHECK(preview(b, filter) == expected);
    CHECK(all_pages(b, begin(b, filter)) == expected);
    CHECK(preview(b, filter) == 0);
  }
}

TEST_CASE("redrive: goes on where it stood, and never twice over a job that has failed again") {
  QueueBench b;
  b.insert(100, kFailed, failed_with("x"));
  const std::int64_t promised = preview(b, R"({"type": "t"})");
  const std::int64_t number = begin(b, R"({"type": "t"})");
  CHECK(page(b, number, 30).first == 30);
  CHECK(page(b, number, 30).first == 30);
  // Whoever went on is gone; what has run meanwhile has failed again, and another has failed newly.
  b.exec("UPDATE {t} SET status = 'failed', completed_at = now() WHERE status = 'pending'");
  b.insert(1, "status, completed_at", "'failed', now()");
  CHECK(all_pages(b, number, 30) == 40);
  CHECK(page(b, number).second);
  CHECK(page(b, number).first == 0);
  const auto audit = nlohmann::json::parse(b.value("SELECT metadata FROM rowcrew.audit_logs"));
  CHECK(audit.at("changed") == promised);
  CHECK(audit.at("before") == "failed");
  CHECK(audit.at("after_status") == "pending");
  CHECK(b.count("rowcrew.audit_logs") == 1);
}

TEST_CASE("redrive: a job that somebody holds is skipped and counted") {
  QueueBench b;
  const Ids ids = b.insert(3, kFailed, failed_with("x"));
  const HeldTransaction held(b.db, "UPDATE rowcrew.job_queue SET priority = 6 WHERE id = '" + ids[1] + "'");
  const Rows rows = b.run(sql::cli_act_page, Params{}.add(begin(b, R"({"all": true})")).add(500));
  CHECK(rows.integer(0, 0) == 2);
  CHECK(rows.integer(0, 1) == 0);
  CHECK(rows.integer(0, 2) == 1);
  CHECK(b.count("rowcrew.cancel_request") == 0);
}

TEST_CASE("redrive: of jobs with one unique key one runs again, none while a live job has the key, and the preview knows") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const Ids same = b.insert(3, std::string(kFailed) + ", unique_key", failed_with("x") + ", 'same'");
    b.insert(2, kFailed, failed_with("x"));
    b.insert_one(std::string(kFailed) + ", unique_key", failed_with("x") + ", 'taken'");
    const std::string live = b.insert_one("status, unique_key", "'failed', 'taken'");
    b.query("UPDATE {t} SET status = 'pending' WHERE id = $1::uuid", Params{}.add(live));
    CHECK(preview(b, R"({"error_code": "x"})") == 3);
    CHECK(all_pages(b, begin(b, R"({"error_code": "x"})")) == 3);
    CHECK(b.value("SELECT metadata ->> 'skipped' FROM rowcrew.audit_logs") == "3");
    CHECK(b.status(sorted(same)[0]) == "pending");
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'pending' AND unique_key IS NOT NULL") == b.count("rowcrew.job_unique"));
  }
}

TEST_CASE("redrive: where matches are rare a page ends after five thousand rows") {
  QueueBench b;
  b.insert(12'000, "status", "'completed'");
  const std::string id = b.insert_one(kFailed, failed_with("x"));
  const std::int64_t number = begin(b, R"({"error_code": "x"})");
  CHECK(page(b, number).first == 0);
  CHECK(page(b, number).first == 0);
  CHECK(page(b, number).first == 1);
  CHECK(b.status(id) == "pending");
}

TEST_CASE("redrive: misses no job while others are removed around it") {
  QueueBench b;
  // Looking at a row waits until nobody holds the lock: what is removed meanwhile is removed in the middle of a page.
  b.ddl("CREATE FUNCTION public.look() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN true; END $$;"
        "ALTER FUNCTION rowcrew.act_condition(text, text, jsonb, timestamptz) RENAME TO act_condition_itself;"
        "CREATE FUNCTION rowcrew.act_condition(a text, t text, f jsonb, b timestamptz) RETURNS text LANGUAGE sql AS"
        " $$ SELECT 'public.look() AND ' || rowcrew.act_condition_itself(a, t, f, b) $$");
  const auto insert = [&](int from, int to, const char* status) {
    b.exec(std::string("INSERT INTO {t} (id, {type}, queue, status, completed_at) SELECT lpad(i::text, 32, '0')::uuid, 't', 'q', '") + status +
           "', now() - interval '1 hour' FROM generate_series(" + std::to_string(from) + ", " + std::to_string(to) + ") i");
  };
  insert(1, 5000, "completed");
  insert(5001, 5020, "failed");
  insert(5021, 5200, "completed");
  const std::int64_t number = begin(b, R"({"all": true})");
  HeldTransaction held(b.db, "SELECT pg_advisory_xact_lock(4711)");
  PoolOptions patient = b.db.options();
  patient.lock_timeout = std::chrono::milliseconds(0);
  std::thread act([&] {
    run_once(patient, TxMode::autocommit, [&](Tx& tx) { tx.exec(sql::cli_act_page, Params{}.add(number).add(500)); });
  });
  for (int i = 0; i < 10'000 && b.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711") == 0; ++i) {
  }
  b.exec("DELETE FROM {t} WHERE id < lpad('101', 32, '0')::uuid");
  held.commit();
  act.join();
  all_pages(b, number);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'pending'") == 20);
}
