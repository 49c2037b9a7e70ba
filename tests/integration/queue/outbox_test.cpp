// What is written beside the job's own row when it ends: events for subscribers, the attempt log.
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

void subscribe(QueueBench& b, const std::string& name, const std::string& events,
               const std::string& job_types = "NULL") {
  b.exec("INSERT INTO rowcrew.event_subscription (name, events, job_types) VALUES ('" + name +
         "', '{" + events + "}', " + job_types + ")");
}

std::string events(QueueBench& b) {
  return b.value(
      "SELECT coalesce(string_agg(concat_ws('|', event, job_table, job_type, data), ' ' "
      "ORDER BY event_id), 'none') FROM rowcrew.job_event");
}

}  // namespace

TEST_CASE("outbox: without a subscription nothing is written") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.insert(3);
    const auto claimed = b.claim(b.node());
    b.complete({claimed[0]});
    b.end({claimed[1]}, Failed("x", ""));
    b.end({claimed[2]}, Cancelled("x"));
    CHECK(events(b) == "none");
  }
}

TEST_CASE("outbox: completions are not looked at one by one while all subscriptions are about other ends") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    subscribe(b, "one", "job.failed,job.cancelled");
    b.ddl("CREATE OR REPLACE FUNCTION rowcrew.note_ended(p_table text, p_key text, p_job uuid, p_type text, p_status text, p_attempts integer,"
           " p_message text, p_node bigint) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'asked about %', p_status; END $$");
    b.insert(2);
    CHECK(b.complete(b.claim(b.node())).size() == 2);
    CHECK(events(b) == "none");
  }
}

TEST_CASE("outbox: each ending that somebody wants is written once, however many want it") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    subscribe(b, "one", "job.completed,job.failed,job.cancelled");
    subscribe(b, "two", "job.completed", "ARRAY['t']");
    const Ids ids = b.insert(4);
    const auto claimed = b.claim(b.node());
    b.complete({claimed[0]}, false);
    b.complete({claimed[0]}, false);  // repeated: the answer was lost
    b.end({claimed[1]}, Failed("boom", "secret"), false);
    b.end({claimed[1]}, Failed("boom", "secret"), false);
    b.end({claimed[2]}, Cancelled("x"), false);
    b.end({claimed[3]}, Retry("x", "", 1h), false);
    const std::string t = table;
    CHECK(events(b) == "job.completed|" + t + "|t|{} job.failed|" + t +
                           "|t|{\"error_code\": \"boom\"} job.cancelled|" + t +
                           "|t|{\"error_code\": \"cancelled\"}");
    CHECK(b.number("SELECT count(*) FROM rowcrew.job_event WHERE job_id = $1::uuid",
                   Params{}.add(claimed[0].job.id)) == 1);
  }
}

TEST_CASE("outbox: a subscription sees only its events and its job types") {
  struct Row {
    const char* events;
    const char* job_types;
    const char* seen;
  };
  const Row rows[] = {
      {"job.completed", "NULL", "job.completed"},
      {"job.failed", "NULL", "job.failed"},
      {"job.cancelled", "NULL", "job.cancelled"},
      {"job.completed,job.failed", "'{other}'", ""},
      {"job.completed,job.failed", "ARRAY['other', 't']", "job.completed job.failed"},
  };
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    for (const Row& row : rows) {
      CAPTURE(row.events);
      CAPTURE(row.job_types);
      b.exec("DELETE FROM rowcrew.event_subscription");
      b.exec("DELETE FROM rowcrew.job_event");
      subscribe(b, "one", row.events, row.job_types);
      b.insert(3);
      const auto claimed = b.claim(node);
      b.complete({claimed[0]});
      b.end({claimed[1]}, Failed("x", ""));
      b.end({claimed[2]}, Cancelled("x"));
      CHECK(b.value("SELECT coalesce(string_agg(event, ' ' ORDER BY event_id), '') "
                    "FROM rowcrew.job_event") == row.seen);
    }
  }
}

TEST_CASE("outbox: a job that the deaths of its nodes fail is no event to who wants others") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    subscribe(b, "one", "job.completed");
    subscribe(b, "two", "job.failed", "ARRAY['other']");
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one("crashes, lonely_crashes", "2, 2");
    REQUIRE(b.claim_suspect(node).size() == 1);
    b.kill(node);
    b.await(b.jobs.reap(3, 0));
    CHECK(b.status(id) == "failed");
    CHECK(events(b) == "none");
  }
}

TEST_CASE("outbox: an event is written in the transaction that ends the job, or not at all") {
  QueueBench b;
  subscribe(b, "one", "job.completed");
  b.insert(1);
  const auto claimed = b.claim(b.node());
  b.ddl("ALTER TABLE rowcrew.job_event ADD CONSTRAINT refuse CHECK (event <> 'job.completed')");
  CHECK_THROWS_AS(b.complete(claimed), DbError);
  CHECK(b.status(claimed[0].job.id) == "processing");
  CHECK(b.count("{claim}") == 1);
}

TEST_CASE("attempt log: one row per execution that did not complete, numbered from one") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one();
    const auto again = [&] {
      b.exec("UPDATE {t} SET scheduled_at = now()");
      b.exec("DELETE FROM {parked}");
      return b.claim(node);
    };
    b.end(b.claim(node), Retry("http_503", "busy", 1h));
    b.end(again(), Snooze(1h, "quota"));
    b.end(again(), Retry("http_500", "broken", 1h));
    const auto claimed = again();
    EndedJob back;
    back.job = claimed.at(0).job;
    back.ending = released(back.job);
    back.duration_ms = INT64_C(5'000'000'000);  // fifty-seven days
    b.await(b.jobs.finish_ended(std::vector<EndedJob>{back}, 77, {b.last_token()}));
    b.end(again(), Failed("gone", "410"));
    CHECK(b.value("SELECT string_agg(concat_ws('|', attempt, outcome, error_code, error_message, "
                  "node_id, duration_ms), ' ' ORDER BY ended_at) FROM rowcrew.job_attempt "
                  "WHERE job_id = $1::uuid AND job_type = 't' AND job_table = '" +
                      b.table + "'",
                  Params{}.add(id)) ==
          "1|retry|http_503|busy|77|12 2|snooze|quota|77|12 2|retry|http_500|broken|77|12 "
          "3|released|77|2147483647 3|failed|gone|410|77|12");
  }
}

TEST_CASE("attempt log: a cancelled execution is logged, a completed one is not") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(1);
  b.end(b.claim(node), Cancelled("unwanted"));
  b.insert(1);
  b.complete(b.claim(node));
  CHECK(b.value("SELECT string_agg(outcome || error_message, ' ') FROM rowcrew.job_attempt") ==
        "cancelledunwanted");
}
