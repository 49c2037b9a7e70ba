// What the triggers of a job table file as hints.
#include <cstdio>

#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// Carries out SQL as a program of the application's would, not as ours.
void psql(const TempDatabase& db, const std::string& input) {
  const std::string command = "psql -X -q -v ON_ERROR_STOP=1 '" + db.url() + "'";
  std::FILE* pipe = ::popen(command.c_str(), "w");
  REQUIRE(pipe != nullptr);
  std::fwrite(input.data(), 1, input.size(), pipe);
  REQUIRE(::pclose(pipe) == 0);
}

constexpr const char* kAllWaiting =
    "SELECT count(*) FROM {t} q WHERE status IN ('pending', 'retrying') "
    "AND 1 = (SELECT count(*) FROM {ready} r WHERE r.id = q.id)";

}  // namespace

TEST_CASE("triggers: an inserted row gets one ready hint with its queue and priority, filed now") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string id = b.insert_one("priority", "3");
    CHECK(b.hints(id) == "ready");
    CHECK(b.value("SELECT queue || priority FROM {ready}") == "q3");
    CHECK(b.value("SELECT run_at BETWEEN clock_timestamp() - interval '1 min' "
                  "AND clock_timestamp() FROM {ready}") == "t");
  }
}

TEST_CASE("triggers: a row dated back is filed now, not where no claim looks any more") {
  QueueBench b;
  b.insert_one("scheduled_at", "now() - interval '1 day'");
  CHECK(b.value("SELECT run_at > clock_timestamp() - interval '1 min' FROM {ready}") == "t");
}

TEST_CASE("triggers: a thousand rows of one statement get a hint each") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    b.insert(1'000);
    CHECK(b.count("{ready}") == 1'000);
    CHECK(b.number(kAllWaiting) == 1'000);
    CHECK(b.count("{parked}") == 0);
  }
}

TEST_CASE("triggers: COPY files hints as INSERT does") {
  QueueBench b;
  std::string input =
      "COPY rowcrew.job_queue (job_type, payload, queue, scheduled_at) FROM STDIN;\n";
  for (int i = 0; i < 100; ++i) input += "t\t{\"n\":1}\tq\t2026-01-01 00:00:00+00\n";
  input += "t\t{}\tq\t2999-01-01 00:00:00+00\n\\.\n";
  psql(b.db, input);
  CHECK(b.count("{t}") == 101);
  CHECK(b.count("{ready}") == 100);
  CHECK(b.count("{parked}") == 1);
}

TEST_CASE("triggers: each row of a mixed insert is filed by its own state") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    struct Row {
      const char* values;
      const char* hints;
    };
    const Row rows[] = {
        {"'pending', now(), 0", "ready"},
        {"'pending', now() + interval '1 hour', 0", "parked:scheduled"},
        {"'retrying', now(), 0", "ready"},
        {"'retrying', now() + interval '1 hour', 0", "parked:backoff"},
        {"'pending', now(), 1", "parked:rescued"},
        {"'pending', now(), 2", "parked:suspect"},
        {"'retrying', now() + interval '1 hour', 1", "parked:rescued"},
        {"'retrying', now() + interval '1 hour', 2", "parked:suspect"},
        {"'completed', now(), 0", "none"},
        {"'failed', now(), 0", "none"},
        {"'cancelled', now() + interval '1 hour', 0", "none"},
    };
    std::string values;
    for (const Row& row : rows) {
      values += (values.empty() ? "" : ", ") + std::string("('t', 'q', ") + row.values + ")";
    }
    const Rows ids =
        b.query("INSERT INTO {t} ({type}, queue, status, scheduled_at, crashes) VALUES " + values +
                " RETURNING id");
    REQUIRE(ids.size() == std::size(rows));
    for (std::size_t i = 0; i < std::size(rows); ++i) {
      CAPTURE(rows[i].values);
      CHECK(b.hints(std::string(ids.text(i, 0))) == rows[i].hints);
    }
  }
}

TEST_CASE("triggers: a parked hint is due when the job is, and a suspect not before it") {
  QueueBench b;
  const std::string later = b.insert_one("scheduled_at", "'2999-01-01 00:00Z'");
  const std::string suspect = b.insert_one("scheduled_at, crashes", "'2999-01-02 00:00Z', 2");
  CHECK(b.value("SELECT run_at FROM {parked} WHERE id = $1::uuid", Params{}.add(later)) ==
        "2999-01-01 00:00:00+00");
  CHECK(b.value("SELECT run_at FROM {parked} WHERE id = $1::uuid", Params{}.add(suspect)) ==
        "2999-01-02 00:00:00+00");
}

TEST_CASE("triggers: a job that is cancelled or deleted before its time leaves no hint until then") {
  for (const char* undo : {"DELETE FROM {t} WHERE id = $1::uuid", "UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid"}) {
    for (const char* table : kJobTables) {
      CAPTURE(undo);
      QueueBench b(table);
      const std::string later = b.insert_one("scheduled_at", "now() + interval '1 year'");
      const std::string backing_off = b.insert_one("scheduled_at, status", "now() + interval '1 hour', 'retrying'");
      const std::string other = b.insert_one("scheduled_at", "now() + interval '1 year'");
      b.query(undo, Params{}.add(later));
      b.query(undo, Params{}.add(backing_off));
      CHECK(b.value("SELECT string_agg(id::text, ',') FROM {parked}") == other);
    }
  }
}

TEST_CASE("triggers: a job that is given another time, queue or place in line before its time has one hint, the new one") {
  for (const char* change : {"scheduled_at = now() + interval '2 years'", "priority = 1", "queue = 'other'", "status = 'retrying'"}) {
    for (const char* table : kJobTables) {
      CAPTURE(change);
      QueueBench b(table);
      b.insert(2, "scheduled_at", "now() + interval '1 year'");
      b.exec(std::string("UPDATE {t} SET ") + change);
      CHECK(b.count("{parked}") == 2);
      CHECK(b.number("SELECT count(*) FROM {parked} p JOIN {t} q USING (id) WHERE (p.run_at, p.priority, p.queue) = (q.scheduled_at, q.priority, q.queue)") == 2);
      b.exec("UPDATE {t} SET scheduled_at = now()");
      CHECK(b.count("{parked}") == 0);
      CHECK(b.count("{ready}") == 2);
    }
  }
}

TEST_CASE("enqueue: a unique job that is put off by every call leaves one hint") {
  QueueBench b;
  for (int n = 1; n <= 5; ++n) {
    b.exec("SELECT rowcrew.enqueue('t', p_unique_key => 'later', p_if_exists => 'replace', p_scheduled_at => now() + interval '" + std::to_string(n) + " h')");
  }
  CHECK(b.count("{t}") == 1);
  CHECK(b.count("{parked}") == 1);
}

TEST_CASE("triggers: an upsert is filed, whichever half of it happens") {
  QueueBench b;
  const std::string id = b.insert_one("status", "'failed'");
  CHECK(b.hints(id) == "none");
  const char* upsert =
      "INSERT INTO {t} (id, {type}, queue) VALUES ($1::uuid, 't', 'q') "
      "ON CONFLICT (id) DO UPDATE SET status = 'pending'";
  b.query(upsert, Params{}.add(id));
  CHECK(b.hints(id) == "ready");
  const std::string other = "00000000-0000-7000-8000-000000000001";
  b.query(upsert, Params{}.add(other));
  CHECK(b.hints(other) == "ready");
}

TEST_CASE("triggers: a job set to wait by hand is filed, whatever it was") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    for (const char* was : {"completed", "failed", "cancelled", "processing"}) {
      for (const char* becomes : {"pending", "retrying"}) {
        CAPTURE(was);
        CAPTURE(becomes);
        const std::string id = b.insert_one("status, claim_token", "'" + std::string(was) + "', 1");
        CHECK(b.hints(id) == "none");
        b.query("UPDATE {t} SET status = $2 WHERE id = $1::uuid", Params{}.add(id).add(becomes));
        CHECK(b.hints(id) == "ready");
      }
    }
  }
}

TEST_CASE("triggers: a bulk update by hand files every row") {
  QueueBench b;
  b.insert(500, "status", "'failed'");
  b.exec("UPDATE {t} SET status = 'pending', scheduled_at = now()");
  CHECK(b.count("{ready}") == 500);
  CHECK(b.number(kAllWaiting) == 500);
}

TEST_CASE("triggers: a change of time, priority or queue files the job anew from the truth") {
  struct Row {
    const char* set;
    const char* where;
    const char* filed;
  };
  const Row rows[] = {
      {"scheduled_at = now() + interval '1 day'", "{parked}",
       "run_at > now() + interval '23 hours'"},
      {"scheduled_at = now() - interval '1 day'", "{ready}", "run_at > now() - interval '1 min'"},
      {"priority = 0", "{ready}", "priority = 0 AND queue = 'q'"},
      {"queue = 'other'", "{ready}", "priority = 5 AND queue = 'other'"},
      {"crashes = 1", "{parked}", "reason = 'rescued'"},
      {"crashes = 2", "{parked}", "reason = 'suspect'"},
      {"status = 'retrying'", "{ready}", "true"},
  };
  for (const char* table : kJobTables) {
    QueueBench b(table);
    for (const Row& row : rows) {
      CAPTURE(row.set);
      const std::string id = b.insert_one();
      const Params params = Params{}.add(id);
      b.query("DELETE FROM {ready} WHERE id = $1::uuid", params);
      b.query("UPDATE {t} SET " + std::string(row.set) + " WHERE id = $1::uuid", params);
      CHECK(b.number("SELECT count(*) FROM " + std::string(row.where) +
                         " WHERE id = $1::uuid AND " + row.filed,
                     params) == 1);
      CHECK(b.hints(id).find('+') == std::string::npos);
    }
  }
}

TEST_CASE("triggers: what changes nothing about when a job runs files nothing") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one();
    b.exec("DELETE FROM {ready}");
    for (const char* set : {"max_attempts = 9", "error_message = 'x'", "priority = priority",
                            "scheduled_at = scheduled_at", "status = 'pending'"}) {
      b.exec("UPDATE {t} SET " + std::string(set));
      CHECK(b.hints(id) == "none");
    }
    // and what does not wait is never filed
    for (const char* set : {"status = 'cancelled'", "priority = 1", "status = 'failed'",
                            "queue = 'x'", "scheduled_at = now()"}) {
      b.exec("UPDATE {t} SET " + std::string(set));
      CHECK(b.hints(id) == "none");
    }
  }
}

TEST_CASE("triggers: a status that an application's own trigger changes is seen as it became") {
  QueueBench b;
  const std::string id = b.insert_one("status", "'failed'");
  b.ddl(
      "CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN NEW.status := 'pending'; RETURN NEW; END $$;"
      "CREATE TRIGGER again BEFORE UPDATE ON rowcrew.job_queue FOR EACH ROW "
      "EXECUTE FUNCTION public.again()");
  b.exec("UPDATE {t} SET max_attempts = 7");
  CHECK(b.status(id) == "pending");
  CHECK(b.hints(id) == "ready");
}
