// What a claim takes, and in which order.
#include <algorithm>
#include <map>

#include "queue/watermarks.hpp"
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("claim: takes due jobs, marks them and writes one claim row for the batch") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node(5);
    const Ids ids = b.insert(3);
    const auto claimed = b.claim(node);
    CHECK(sorted(ids_of(claimed)) == sorted(ids));
    const std::int64_t token = b.last_token();
    for (const ClaimedJob& c : claimed) {
      CHECK(c.job.table == table);
      CHECK(c.job.job_type == "t");
      CHECK(c.job.queue == "q");
      CHECK(c.job.claim_token == token);
      CHECK(c.job.attempt == 1);
      CHECK(c.job.max_attempts == 5);
      CHECK(c.job.crashes == 0);
      CHECK(c.priority == 5);
    }
    CHECK(b.number(
              "SELECT count(*) FROM {t} WHERE status = 'processing' AND claim_token = $1::bigint "
              "AND worker_id = $2::bigint AND started_at IS NOT NULL AND attempts = 0",
              Params{}.add(token).add(node.node_id)) == 3);
    CHECK(b.count("{ready}") == 0);
    const auto rows = b.await(b.jobs.own_claims(node));
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].token == token);
    CHECK(sorted(rows[0].ids) == sorted(ids));
    CHECK(b.value("SELECT alone FROM {claim}") == "f");
  }
}

TEST_CASE("claim: with nothing due it leaves no trace") {
  QueueBench b;
  b.insert(2, "scheduled_at", "now() + interval '1 hour'");
  CHECK(b.claim(b.node()).empty());
  CHECK(b.count("{claim}") == 0);
  CHECK(b.count("{parked}") == 2);
}

TEST_CASE("claim: a handler sees a payload object, whatever columns the table has") {
  QueueBench plain("job_queue");
  plain.insert_one("payload", R"('{"to": "ann"}')");
  CHECK(plain.claim(plain.node()).at(0).job.payload == R"({"to": "ann"})");

  QueueBench generation("processing_jobs");
  generation.insert_one("provider, external_id, prompt, inputs",
                        R"('p', 'e', 'a "quoted" cat', '{"size": 2}')");
  CHECK(generation.claim(generation.node()).at(0).job.payload ==
        R"({"type": "t", "inputs": {"size": 2}, "prompt": "a \"quoted\" cat", "provider": "p", )"
        R"("external_id": "e"})");
}

TEST_CASE("claim: a large payload stays behind, and is read while the job is still its claim's") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string column = std::string(table) == "job_queue" ? "payload" : "inputs";
    const std::string large = b.insert_one(
        column, "jsonb_build_object('text', (SELECT string_agg(md5(random()::text || g), '') FROM generate_series(1, 2000) g))");
    b.insert_one(column, R"('{"text": "short"}')");
    const auto claimed = b.claim(b.node());
    REQUIRE(claimed.size() == 2);
    for (const ClaimedJob& c : claimed) {
      const bool left = c.job.id == large;
      CHECK(c.payload_left == left);
      CHECK(c.job.payload.empty() == left);
      const auto payload = b.await(b.jobs.payload(c.job));
      REQUIRE(payload);
      CHECK(payload->find("\"text\"") != std::string::npos);
      CHECK((payload->size() > 64'000) == left);
      if (!left) CHECK(*payload == c.job.payload);
      Job other = c.job;
      ++other.claim_token;
      CHECK_FALSE(b.await(b.jobs.payload(other)));
    }
    b.complete(claimed);
    CHECK_FALSE(b.await(b.jobs.payload(claimed[0].job)));
  }
}

TEST_CASE("claim: what shrinks to nothing where it is stored stays behind as well") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string column = std::string(table) == "job_queue" ? "payload" : "inputs";
    b.insert_one(column, "jsonb_build_object('text', repeat('lorem ipsum ', 10000))");
    const std::string page = b.insert_one(column, "jsonb_build_object('text', repeat('lorem ipsum ', 1000))");
    CHECK(b.number("SELECT max(pg_column_size(" + column + ")) FROM {t}") < 4'096);
    for (const ClaimedJob& c : b.claim(b.node())) CHECK(c.payload_left == (c.job.id != page));
  }
}

TEST_CASE("claim: the first priority first, within it the longest waiting first") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    Ids expected;
    for (const int priority : {9, 0, 5, 0, 9, 1}) {
      b.insert_one("priority", std::to_string(priority));
    }
    const Rows order = b.query("SELECT id FROM {t} ORDER BY priority, scheduled_at, id");
    for (std::size_t i = 0; i < order.size(); ++i) expected.emplace_back(order.text(i, 0));
    Ids got;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto one = b.claim(node, 1);
      REQUIRE(one.size() == 1);
      got.push_back(one[0].job.id);
    }
    CHECK(got == expected);
    CHECK(b.claim(node, 1).empty());
  }
}

TEST_CASE("claim: a batch that spans priorities takes no more than was asked for") {
  QueueBench b;
  for (int priority = 0; priority <= 9; ++priority)
    b.insert(3, "priority", std::to_string(priority));
  const auto claimed = b.claim(b.node(), 7);
  CHECK(claimed.size() == 7);
  std::vector<int> priorities;
  for (const ClaimedJob& c : claimed) priorities.push_back(c.priority);
  std::sort(priorities.begin(), priorities.end());
  CHECK(priorities == std::vector<int>{0, 0, 0, 1, 1, 1, 2});
  CHECK(b.count("{ready}") == 23);
}

TEST_CASE("claim: each queue has its own limit, and others are left alone") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    for (const char* queue : {"a", "b", "c"}) {
      b.query("INSERT INTO {t} ({type}, queue) SELECT 't', $1 FROM generate_series(1, 10)",
              Params{}.add(queue));
    }
    const auto claimed =
        b.await(b.jobs.claim(7, node, {QueueBench::want("b", 4), QueueBench::want("a", 2)}));
    std::map<std::string, int> per_queue;
    for (const ClaimedJob& c : claimed) ++per_queue[c.job.queue];
    CHECK(per_queue == std::map<std::string, int>{{"a", 2}, {"b", 4}});
    CHECK(b.value("SELECT string_agg(queue || n, ' ' ORDER BY queue) FROM "
                  "(SELECT queue, count(*) n FROM {ready} GROUP BY 1) x") == "a8 b6 c10");
    CHECK(b.count("{claim}") == 1);
  }
}

TEST_CASE(
    "claim: watermarks hide what lies before them, per queue and priority; a sweep finds it") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(1, "priority", "2");
  b.insert(1, "priority", "7");
  b.exec("UPDATE {ready} SET run_at = '2026-01-01 12:00Z'");
  ClaimWant bounded = QueueBench::want("q", 10);
  bounded.marks[2] = "2026-01-01 12:00:00.000001+00";
  bounded.marks[7] = "2026-01-01 12:00:00.000000+00";
  auto claimed = b.await(b.jobs.claim(7, node, {bounded}));
  REQUIRE(claimed.size() == 1);
  CHECK(claimed[0].priority == 7);
  CHECK(claimed[0].hint_run_at_us == 1'767'268'800'000'000);

  // The marks of another queue are not mistaken for this one's.
  ClaimWant other = QueueBench::want("other", 10);
  other.marks.assign(10, "2999-01-01");
  bounded.marks[2] = "2999-01-01";
  CHECK(b.await(b.jobs.claim(8, node, {other, bounded})).empty());
  claimed = b.await(b.jobs.claim(9, node, {other, QueueBench::want("q", 10)}));
  REQUIRE(claimed.size() == 1);
  CHECK(claimed[0].priority == 2);
}

TEST_CASE("claim: a mark that this node wrote is the moment that the hint has") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(5);
  Watermarks marks(Watermarks::Options{.margin = 0ms, .sweep_every = 2s});
  const auto first = b.claim(node, 2);
  for (const ClaimedJob& c : first) marks.note("q", c.priority, c.hint_run_at_us);
  marks.settle();
  ClaimWant want = QueueBench::want("q", 10);
  want.marks = marks.marks("q", true);
  CHECK(b.await(b.jobs.claim(b.new_token(), node, {want})).size() == 3);
}

TEST_CASE("claim: a retry counts on from the attempts that were made") {
  QueueBench b;
  b.insert_one("status, attempts, max_attempts", "'retrying', 2, 7");
  const auto claimed = b.claim(b.node());
  REQUIRE(claimed.size() == 1);
  CHECK(claimed[0].job.attempt == 3);
  CHECK(claimed[0].job.max_attempts == 7);
}

TEST_CASE("claim: a suspect is taken from where it waits, one at a time, and its claim says alone") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(2, "crashes", "2");
    b.insert(1, "crashes, scheduled_at", "2, now() + interval '1 hour'");
    CHECK(b.claim(node).empty());
    const auto due = [&](const std::string& queue) { return b.await(b.jobs.has_suspect({queue})); };
    CHECK(due("q").suspect);
    CHECK_FALSE(due("q").rescued);
    CHECK_FALSE(due("other").suspect);
    const auto first = b.claim_suspect(node);
    REQUIRE(first.size() == 1);
    CHECK(first[0].job.crashes == 2);
    CHECK(b.value("SELECT alone FROM {claim} WHERE token = $1::bigint",
                  Params{}.add(b.last_token())) == "t");
    const auto second = b.claim_suspect(node);
    REQUIRE(second.size() == 1);
    CHECK(sorted({first[0].job.id, second[0].job.id}) == sorted(ids));
    CHECK_FALSE(due("q").suspect);
    CHECK(b.claim_suspect(node).empty());
  }
}

TEST_CASE("claim: a suspect's stale hint is dropped, one of a job that waits is filed again") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one("crashes", "2");
  b.exec("UPDATE {t} SET status = 'cancelled'");
  CHECK(b.claim_suspect(node).empty());
  CHECK(b.hints(id) == "none");

  b.exec("UPDATE {t} SET status = 'pending', scheduled_at = '2999-01-01Z'");
  b.exec("UPDATE {parked} SET run_at = now()");
  CHECK(b.claim_suspect(node).empty());
  CHECK(b.hints(id) == "parked:suspect");
  CHECK(b.value("SELECT run_at FROM {parked}") == "2999-01-01 00:00:00+00");

  // Acquitted by hand, it is no suspect any more, whatever its old hint says.
  b.exec("UPDATE {t} SET crashes = 0, queue = 'elsewhere', scheduled_at = now()");
  b.exec("DELETE FROM {ready}");
  b.exec("UPDATE {parked} SET run_at = now()");
  CHECK(b.claim_suspect(node).empty());
  CHECK(b.hints(id) == "ready");
}
