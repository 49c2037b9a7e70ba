// How executions end, and what is written then.
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::string row(QueueBench& b, const std::string& id, const std::string& columns) {
  return b.value("SELECT concat_ws('|', " + columns + ") FROM {t} q WHERE id = $1::uuid",
                 Params{}.add(id));
}

}  // namespace

TEST_CASE("finish: a completed job has its result, one attempt more and no error of before") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string id =
        b.insert_one("attempts, error_code, error_message", "2, 'http_503', 'busy'");
    CHECK(b.complete(b.claim(b.node())) == Ids{id});
    const std::string result = b.table == "job_queue" ? "result" : "outputs";
    CHECK(row(b, id,
              "status, attempts, " + result +
                  ", error_code, error_message, "
                  "completed_at >= started_at, completed_at <= clock_timestamp()") ==
          R"(completed|3|{"n": 1}|t|t)");
    CHECK(b.hints(id) == "none");
    CHECK(b.count("{claim}") == 0);
    CHECK(b.count("rowcrew.job_attempt") == 0);  // success leaves no trace but its row
    // The token stays, so that a repetition is recognised.
    CHECK(row(b, id, "claim_token") == std::to_string(b.last_token()));
  }
}

TEST_CASE("finish: without a result the column keeps what it has") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string result = b.table == "job_queue" ? "result" : "outputs";
    const std::string id = b.insert_one(result, R"('{"half": "way"}')");
    const auto claimed = b.claim(b.node());
    CHECK(b.await(b.jobs.finish_completed(ended(claimed, Completed()), {})) == Ids{id});
    CHECK(row(b, id, result) == R"({"half": "way"})");
  }
}

TEST_CASE("finish: a batch is written whole, whatever order it comes in") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const Ids ids = b.insert(300);
    auto claimed = b.claim(b.node(), 300);
    std::swap(claimed[0], claimed[299]);
    CHECK(sorted(b.complete(claimed)) == sorted(ids));
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'completed'") == 300);
  }
}

TEST_CASE("finish: claim rows go exactly when they are named") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(4);
    const auto first = b.claim(node, 2);
    const auto second = b.claim(node, 2);
    CHECK(b.count("{claim}") == 2);
    b.complete({first[0]}, false);
    CHECK(b.count("{claim}") == 2);
    b.complete({first[1]}, true);
    CHECK(b.value("SELECT string_agg(token::text, ',') FROM {claim}") ==
          std::to_string(b.last_token()));
    b.end({second[0]}, Retry("x", ""), false);
    CHECK(b.count("{claim}") == 1);
    b.end({second[1]}, Retry("x", ""), true);
    CHECK(b.count("{claim}") == 0);
  }
}

TEST_CASE("finish: a retry waits for its delay, with its error and its attempt used") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one();
    b.end(b.claim(b.node()), Retry("http_503", "busy", 1h));
    CHECK(
        row(b, id,
            "status, attempts, error_code, error_message, completed_at, "
            "scheduled_at > now() + interval '59 min', scheduled_at < now() + interval '61 min'") ==
        "retrying|1|http_503|busy|t|t");
    CHECK(b.hints(id) == "parked:backoff");
    CHECK(b.value("SELECT p.run_at = q.scheduled_at FROM {parked} p JOIN {t} q USING (id)") == "t");
  }
}

TEST_CASE("finish: a retry without a delay is due at once") {
  QueueBench b;
  const std::string id = b.insert_one();
  b.end(b.claim(b.node()), Retry("http_503", "busy", 0ms));
  CHECK(b.hints(id) == "ready");
  CHECK(b.claim(b.node()).at(0).job.attempt == 2);
}

TEST_CASE("finish: snooze and release give the attempt back and keep the error of before") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one("attempts, status, error_code, error_message",
                                        "1, 'retrying', 'http_503', 'busy'");
    b.end(b.claim(node), Snooze(1h, "not yet"));
    CHECK(row(b, id, "status, attempts, error_code, error_message") == "retrying|1|http_503|busy");
    CHECK(b.hints(id) == "parked:backoff");

    b.exec("UPDATE {t} SET scheduled_at = now()");
    const auto claimed = b.claim(node);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].job.attempt == 2);
    EndedJob back;
    back.job = claimed[0].job;
    back.ending = released(back.job);
    b.exec("DELETE FROM {parked}");
    CHECK(b.await(b.jobs.finish_ended(std::vector<EndedJob>{back}, node.node_id, {b.last_token()})) == Ids{id});
    CHECK(row(b, id, "status, attempts, error_code") == "retrying|1|http_503");
    CHECK(b.hints(id) == "ready");
    CHECK(b.claim(node).at(0).job.attempt == 2);

    const std::string fresh = b.insert_one();
    b.end(b.claim(node), Snooze(1h));
    CHECK(row(b, fresh, "status, attempts") == "pending|0");
    CHECK(b.hints(fresh) == "parked:scheduled");
  }
}

TEST_CASE("finish: failed and cancelled are the end") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string failed = b.insert_one();
    b.end(b.claim(node), Failed("bad_payload", "url: missing"));
    CHECK(row(b, failed,
              "status, attempts, error_code, error_message, completed_at <= clock_timestamp()") ==
          "failed|1|bad_payload|url: missing|t");
    const std::string cancelled = b.insert_one();
    b.end(b.claim(node), Cancelled("no longer wanted"));
    CHECK(row(b, cancelled, "status, attempts, error_code, error_message") ==
          "cancelled|1|cancelled|no longer wanted");
    CHECK(b.hints(failed) == "none");
    CHECK(b.hints(cancelled) == "none");
  }
}

TEST_CASE("finish: one batch of all outcomes is written as each was decided") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(4);
  const auto claimed = b.claim(node);
  REQUIRE(claimed.size() == 4);
  const Outcome outcomes[] = {Retry("a", "", 1h), Snooze(2h), Failed("c", ""), Cancelled("d")};
  std::vector<EndedJob> batch;
  for (std::size_t i = 0; i < 4; ++i) {
    batch.push_back(ended({claimed[i]}, outcomes[i])[0]);
  }
  CHECK(b.await(b.jobs.finish_ended(batch, node.node_id, {b.last_token()})).size() == 4);
  const char* expected[] = {"retrying|1", "pending|0", "failed|1", "cancelled|1"};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(row(b, claimed[i].job.id, "status, attempts") == expected[i]);
  }
}

TEST_CASE("finish: the last attempt fails, and the row says how many there were") {
  QueueBench b;
  const std::string id = b.insert_one("attempts, max_attempts, status", "2, 3, 'retrying'");
  b.end(b.claim(b.node()), Retry("http_503", "busy"));
  CHECK(row(b, id, "status, attempts, error_code") == "failed|3|http_503");
}

TEST_CASE("finish: the longest delay that a handler may ask for can be stored") {
  QueueBench b;
  const std::string id = b.insert_one();
  b.end(b.claim(b.node()), Snooze(std::chrono::milliseconds::max()));
  CHECK(row(b, id, "scheduled_at > now() + interval '9 years'") == "t");
}

TEST_CASE("finish: a message of any bytes can be stored") {
  QueueBench b;
  const std::string id = b.insert_one();
  std::string noise;
  for (int c = 0; c < 256; ++c) noise += static_cast<char>(c);
  b.end(b.claim(b.node()), Failed("noise", noise + R"({"a\b",NULL})"));
  CHECK(row(b, id, "status") == "failed");
  CHECK(row(b, id, "right(error_message, 12)") == R"({"a\b",NULL})");
}

TEST_CASE("finish: a job's unique key is free again once it has ended, not before") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const char* enqueue = "SELECT rowcrew.enqueue('t', '{}', 'q', NULL, NULL, NULL, 'key')";
  for (const bool failing : {false, true}) {
    const std::string id = b.value(enqueue);
    CHECK(b.value(enqueue) == id);
    b.end(b.claim(node), Retry("x", "", 0ms));
    CHECK(b.value(enqueue) == id);
    const auto claimed = b.claim(node);
    CHECK(b.value(enqueue) == id);
    if (failing) {
      b.end(claimed, Failed("x", ""));
    } else {
      b.complete(claimed);
    }
    CHECK(b.count("rowcrew.job_unique") == 0);
  }
  const std::string id = b.value(enqueue);
  b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(id));
  CHECK(b.count("rowcrew.job_unique") == 0);
}

TEST_CASE("finish: a generation tells how long it was processed") {
  QueueBench b("processing_jobs");
  const std::string id = b.insert_one();
  const auto jobs = b.claim(b.node());
  b.query("UPDATE {t} SET started_at = started_at - interval '90 s'");
  CHECK(b.complete(jobs) == Ids{id});
  const auto took = b.number("SELECT processing_time_ms FROM {t}");
  CHECK(took >= 90'000);
  CHECK(took < 120'000);
}

TEST_CASE("finish: a job that is handed back stands before those that came after it, whatever its time of creation says") {
  for (const char* kind : {"job_queue", "processing_jobs", "adopted"}) {
    for (const char* created : {"now() - interval '1 hour'", "'-infinity'"}) {
      CAPTURE(kind);
      CAPTURE(created);
      const bool adopted = kind == std::string("adopted");
      QueueBench b(adopted ? "job_queue" : kind);
      if (adopted) b.adopt_like_job_queue();
      const auto insert_one = [&] {
        return b.value(b.named("INSERT INTO {t} (id, {type}, queue, created_at) VALUES (gen_random_uuid(), 't', 'q', ") + created + ") RETURNING id");
      };
      const NodeIdentity node = b.node();
      const std::string first = insert_one();
      const std::string second = insert_one();
      const auto hand_back = [&](const ClaimedJob& claimed) {
        EndedJob back;
        back.job = claimed.job;
        back.ending = released(back.job);
        return b.await(b.jobs.finish_ended(std::vector<EndedJob>{back}, node.node_id, {b.last_token()}));
      };
      CHECK(hand_back(b.claim(node, 1).at(0)) == Ids{first});
      CHECK(b.claim(node, 1).at(0).job.id == first);
      const auto claimed = b.claim(node);
      CHECK(ids_of(claimed) == Ids{second});
      CHECK(b.claim(node).empty());
      CHECK(b.count("{ready}") == 0);  // the other hint went with a claim that met it
      CHECK(hand_back(claimed.at(0)) == Ids{second});
      CHECK(b.count("{ready}") == 2);
      CHECK(ids_of(b.claim(node)) == Ids{second});  // by both at once
    }
  }
}

TEST_CASE("finish: a job that waits no longer has a hint at once, whether it is handed back, snoozed or tried again, young or of unknown age") {
  for (const char* kind : {"job_queue", "processing_jobs", "adopted"}) {
    CAPTURE(kind);
    const bool adopted = kind == std::string("adopted");
    QueueBench b(adopted ? "job_queue" : kind);
    if (adopted) b.adopt_like_job_queue();
    const NodeIdentity node = b.node();
    b.exec("INSERT INTO {t} (id, {type}, queue) VALUES (gen_random_uuid(), 't', 'q')");
    for (int round = 0; round < 20; ++round) {
      const auto claimed = b.claim(node, 1);
      REQUIRE(claimed.size() == 1);
      if (round % 2 == 0) {
        REQUIRE(b.end(claimed, Snooze(std::chrono::milliseconds(0))).size() == 1);
        continue;
      }
      EndedJob back;
      back.job = claimed[0].job;
      back.ending = released(back.job);
      REQUIRE(b.await(b.jobs.finish_ended(std::vector<EndedJob>{back}, node.node_id, {b.last_token()})).size() == 1);
    }
  }
}
