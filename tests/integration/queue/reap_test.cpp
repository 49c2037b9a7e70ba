// The rescue of what dead nodes held.
#include "held_transaction.hpp"
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr int kMaxCrashes = 3;

ReapedPage reap(QueueBench& b, std::int64_t after = 0) {
  return b.await(b.jobs.reap(kMaxCrashes, after));
}

std::vector<ClaimedJob> claim_rescued(QueueBench& b, NodeIdentity by) {
  const std::int64_t token = b.new_token();
  return b.await(b.jobs.claim_rescued({token}, by, {QueueBench::want("q", 1)}));
}

std::string row(QueueBench& b, const std::string& id, const std::string& columns) {
  return b.value("SELECT concat_ws('|', " + columns + ") FROM {t} WHERE id = $1::uuid",
                 Params{}.add(id));
}

}  // namespace

TEST_CASE("reap: a live node's claims are never touched") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(2);
    b.claim(node);
    b.exec("UPDATE rowcrew.node SET last_seen = '2000-01-01', beat = 0");
    const ReapedPage reaped = reap(b);
    CHECK(reaped.last_token == 0);
    CHECK(reaped.jobs.empty());
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'processing'") == 2);
    CHECK(b.count("{claim}") == 1);
  }
}

TEST_CASE("reap: claims of a node that is dead, gone or of another life are rescued") {
  struct Row {
    const char* name;
    const char* sql;
  };
  const Row rows[] = {
      {"dead", "UPDATE rowcrew.node SET dead = true"},
      {"gone", "DELETE FROM rowcrew.node"},
      {"registered anew", "UPDATE rowcrew.node SET epoch = epoch + 1"},
  };
  for (const char* table : kJobTables) {
    for (const Row& r : rows) {
      CAPTURE(table);
      CAPTURE(r.name);
      QueueBench b(table);
      const NodeIdentity node = b.node();
      const Ids ids = b.insert(2);
      b.claim(node);
      b.exec(r.sql);
      const ReapedPage reaped = reap(b);
      CHECK(reaped.last_token == b.last_token());
      REQUIRE(reaped.jobs.size() == 2);
      CHECK(sorted({reaped.jobs[0].id, reaped.jobs[1].id}) == sorted(ids));
      CHECK(reaped.jobs[0].job_type == "t");
      CHECK(reaped.jobs[0].status == "retrying");
      CHECK(b.count("{claim}") == 0);
      CHECK(reap(b).last_token == 0);
    }
  }
}

TEST_CASE("reap: only the dead node's claims, all of them in one page") {
  QueueBench b;
  const NodeIdentity dead = b.node(1);
  const NodeIdentity alive = b.node(2);
  b.insert(6);
  b.claim(dead, 2);
  b.claim(alive, 2);
  b.claim(dead, 2);
  const std::int64_t last = b.last_token();
  b.kill(dead);
  const ReapedPage page = reap(b);
  CHECK(page.jobs.size() == 4);
  CHECK(page.last_token == last);
  CHECK(reap(b).last_token == 0);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'processing' AND worker_id = $1::bigint",
                 Params{}.add(alive.node_id)) == 2);
}

TEST_CASE("reap: a page ends after two hundred claims, and the next goes on behind it") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(250);
  for (int i = 0; i < 250; ++i) REQUIRE(b.claim(node, 1).size() == 1);
  b.kill(node);
  const ReapedPage first = reap(b);
  CHECK(first.jobs.size() == 200);
  CHECK(first.last_token == b.last_token() - 50);
  const ReapedPage second = reap(b, first.last_token);
  CHECK(second.jobs.size() == 50);
  CHECK(second.last_token == b.last_token());
  CHECK(reap(b, second.last_token).last_token == 0);
  CHECK(b.count("{claim}") == 0);
}

TEST_CASE("reap: a page ends after a thousand jobs, and a larger claim is rescued whole") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(2'600);
  for (const std::size_t size : {600, 600, 1'400}) REQUIRE(b.claim(node, size).size() == size);
  b.kill(node);
  const ReapedPage first = reap(b);
  CHECK(first.jobs.size() == 1'200);
  const ReapedPage second = reap(b, first.last_token);
  CHECK(second.jobs.size() == 1'400);
  CHECK(reap(b, second.last_token).last_token == 0);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE crashes = 1") == 2'600);
}

TEST_CASE("reap: a rescued job is parked for a claim of its own, its crash counted, its attempt not") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one("attempts, status", "2, 'retrying'");
    b.claim(node);
    b.kill(node);
    reap(b);
    CHECK(row(b, id,
              "status, attempts, crashes, lonely_crashes, error_code, completed_at, scheduled_at <= "
              "clock_timestamp()") == "retrying|2|1|0|crashed|t");
    CHECK(row(b, id, "error_message") ==
          "node " + std::to_string(node.node_id) + " died while running it, death 1 that it met");
    CHECK(b.hints(id) == "parked:rescued");
    CHECK(b.await(b.jobs.promote(10)).jobs == 0);
    CHECK(b.claim(b.node(2)).empty());
    CHECK(b.claim_suspect(b.node(3)).empty());
    CHECK(b.value("SELECT concat_ws('|', attempt, outcome, error_code, node_id, job_table) "
                  "FROM rowcrew.job_attempt") ==
          "3|crashed|crashed|" + std::to_string(node.node_id) + "|" + b.table);
  }
}

TEST_CASE("reap: whom a second death meets is a suspect, although it ran beside others") {
  QueueBench b;
  const std::string id = b.insert_one();
  NodeIdentity node = b.node(1);
  b.claim(node);
  b.kill(node);
  reap(b);
  node = b.node(2);
  REQUIRE(claim_rescued(b, node).size() == 1);
  b.kill(node);
  CHECK(reap(b).jobs.size() == 1);
  CHECK(row(b, id, "status, crashes, lonely_crashes") == "retrying|2|0");
  CHECK(b.hints(id) == "parked:suspect");
  CHECK(claim_rescued(b, b.node(3)).empty());
  CHECK(ids_of(b.claim_suspect(b.node(4))) == Ids{id});
}

TEST_CASE("reap: three deaths of its node while it ran alone make a job poison; neighbours are innocent") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    b.exec("INSERT INTO rowcrew.event_subscription (name, events) VALUES ('s', '{job.failed}')");
    const Ids ids = b.insert(3);
    NodeIdentity node = b.node(1);
    b.claim(node);
    b.kill(node);
    CHECK(reap(b).jobs.size() == 3);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE crashes = 1") == 3);

    // One of them kills each node that runs it: once under a claim of its own, then alone.
    node = b.node(2);
    b.query("UPDATE {parked} SET run_at = now() - interval '1 hour' WHERE id = $1::uuid", Params{}.add(ids[0]));
    REQUIRE(ids_of(claim_rescued(b, node)) == Ids{ids[0]});
    b.kill(node);
    reap(b);
    for (int death = 1; death <= 3; ++death) {
      CAPTURE(death);
      node = b.node(2 + death);
      const auto alone = b.claim_suspect(node);
      REQUIRE(ids_of(alone) == Ids{ids[0]});
      CHECK(alone[0].job.crashes == 1 + death);
      b.kill(node);
      const ReapedPage reaped = reap(b);
      REQUIRE(reaped.jobs.size() == 1);
      CHECK(reaped.jobs[0].status == (death < 3 ? "retrying" : "failed"));
      CHECK(row(b, ids[0], "lonely_crashes") == std::to_string(death));
    }
    CHECK(row(b, ids[0],
              "status, attempts, crashes, error_code, error_message, completed_at <= "
              "clock_timestamp()") ==
          "failed|0|5|poison|its node died 3 times while running it alone|t");
    CHECK(b.hints(ids[0]) == "none");
    CHECK(b.value("SELECT string_agg(event || data, ' ') FROM rowcrew.job_event") ==
          R"(job.failed{"error_code": "poison"})");
    CHECK(b.number("SELECT count(*) FROM rowcrew.job_attempt WHERE job_id = $1::uuid AND outcome = "
                   "'crashed'",
                   Params{}.add(ids[0])) == 5);

    node = b.node(9);
    for (int i = 0; i < 2; ++i) CHECK(b.complete(claim_rescued(b, node)).size() == 1);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'completed'") == 2);
  }
}

TEST_CASE("reap: dying among others again and again does not make a job poison") {
  QueueBench b;
  const std::string id = b.insert_one();
  for (int i = 0; i < 6; ++i) {
    const NodeIdentity node = b.node(i);
    REQUIRE(b.claim(node).size() == 1);
    b.kill(node);
    CHECK(reap(b).jobs.size() == 1);
    // A person sends it out among the others once more.
    b.exec("UPDATE {t} SET crashes = 0");
  }
  CHECK(b.status(id) == "retrying");
}

TEST_CASE("reap: a job that was set back, cancelled or finished meanwhile is left as it is") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const Ids ids = b.insert(4);
  const auto claimed = b.claim(node);
  b.query("UPDATE {t} SET status = 'pending' WHERE id = $1::uuid", Params{}.add(ids[0]));
  b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(ids[1]));
  b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(ids[2]));
  for (const ClaimedJob& c : claimed) {
    if (c.job.id == ids[3]) b.complete({c}, false);
  }
  b.kill(node);
  const ReapedPage reaped = reap(b);
  CHECK(reaped.last_token == b.last_token());  // the row itself is gone now
  CHECK(reaped.jobs.empty());
  CHECK(b.count("{claim}") == 0);
  CHECK(row(b, ids[0], "status, crashes") == "pending|0");
  CHECK(row(b, ids[1], "status, crashes") == "cancelled|0");
  CHECK(row(b, ids[3], "status, crashes") == "completed|0");
}

TEST_CASE("reap: a job that runs under a newer claim is not its dead node's any more") {
  QueueBench b;
  const NodeIdentity dead = b.node(1);
  const NodeIdentity alive = b.node(2);
  const std::string id = b.insert_one();
  b.claim(dead);
  b.exec("UPDATE {t} SET status = 'pending'");
  REQUIRE(b.claim(alive).size() == 1);
  b.kill(dead);
  CHECK(reap(b).jobs.empty());
  CHECK(row(b, id, "status, crashes") == "processing|0");
  CHECK(b.count("{claim}") == 1);
}

TEST_CASE("reap: a row that somebody holds waits for a later pass, and so does its claim") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(3);
    b.claim(node);
    b.kill(node);
    HeldTransaction person(b.db,
                           b.named("UPDATE {t} SET max_attempts = 9 WHERE id = '" + ids[1] + "'"));
    ReapedPage reaped = reap(b);
    CHECK(reaped.jobs.size() == 2);
    CHECK(b.count("{claim}") == 1);
    // The next of the same pass leaves it alone, rather than meeting it for ever.
    CHECK(reap(b, reaped.last_token).last_token == 0);
    CHECK(b.status(ids[1]) == "processing");
    person.commit();
    reaped = reap(b);
    REQUIRE(reaped.jobs.size() == 1);
    CHECK(reaped.jobs[0].id == ids[1]);
    CHECK(b.count("{claim}") == 0);
    CHECK(row(b, ids[1], "status, crashes, max_attempts") == "retrying|1|9");
    CHECK(
        b.number(
            "SELECT max(n) FROM (SELECT count(*) n FROM rowcrew.job_attempt GROUP BY job_id) x") ==
        1);
  }
}

TEST_CASE("reap: a finish that is being written when the reaper comes wins, and nothing is left") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const Ids ids = b.insert(2);
  b.claim(node);
  b.kill(node);
  HeldTransaction finish(
      b.db,
      b.named("UPDATE {t} SET status = 'completed', attempts = 1 WHERE id = '" + ids[0] + "'"));
  CHECK(reap(b).jobs.size() == 1);
  finish.commit();
  CHECK(b.count("{claim}") == 1);
  const ReapedPage last = reap(b);
  CHECK(last.last_token != 0);
  CHECK(last.jobs.empty());
  CHECK(b.count("{claim}") == 0);
  CHECK(row(b, ids[0], "status, crashes") == "completed|0");
}

TEST_CASE("reap: reapers beside each other rescue each claim once") {
  QueueBench b("job_queue", 4);
  const NodeIdentity node = b.node();
  b.insert(60);
  for (int i = 0; i < 20; ++i) b.claim(node, 3);
  b.kill(node);
  HeldTransaction other(b.db,
                        "SELECT FROM rowcrew.job_queue_claim ORDER BY token LIMIT 5 FOR UPDATE");
  ReapedPage page = reap(b);
  CHECK(page.jobs.size() == 45);
  CHECK(b.count("{claim}") == 5);
  other.roll_back();
  page = reap(b);
  CHECK(page.jobs.size() == 15);
  CHECK(reap(b).last_token == 0);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'retrying' AND crashes = 1") == 60);
  CHECK(b.count("rowcrew.job_attempt") == 60);
}

TEST_CASE("reap: twenty thousand claims whose jobs somebody holds do not keep those behind them waiting") {
  constexpr int kHeld = 20'000;
  QueueBench b;
  const NodeIdentity dead = b.node();
  b.query("INSERT INTO {t} (id, {type}, queue, status, claim_token) "
          "SELECT lpad(n::text, 32, '0')::uuid, 'held', 'q', 'processing', n FROM generate_series(1, $1::int) n",
          Params{}.add(kHeld));
  b.query("INSERT INTO {claim} (token, node_id, epoch, ids) "
          "SELECT n, $2::bigint, $3::bigint, ARRAY[lpad(n::text, 32, '0')::uuid] FROM generate_series(1, $1::int) n",
          Params{}.add(kHeld).add(dead.node_id).add(dead.epoch));
  const Ids behind = b.insert(3);
  b.query("UPDATE {t} SET status = 'processing', claim_token = $1::bigint WHERE job_type = 't'", Params{}.add(kHeld + 1));
  b.query("INSERT INTO {claim} (token, node_id, epoch, ids) VALUES ($1::bigint, $2::bigint, $3::bigint, $4::uuid[])",
          Params{}.add(kHeld + 1).add(dead.node_id).add(dead.epoch).add_array(behind));
  b.kill(dead);
  HeldTransaction person(b.db, "SELECT FROM rowcrew.job_queue WHERE job_type = 'held' FOR UPDATE");
  int statements = 1;
  std::size_t rescued = 0;
  for (ReapedPage page = reap(b); page.last_token != 0; page = reap(b, page.last_token)) {
    REQUIRE(++statements <= kHeld / 200 + 2);
    rescued += page.jobs.size();
  }
  CHECK(rescued == 3);
  CHECK(b.count("{claim}") == kHeld);
  person.roll_back();
  CHECK(reap(b).jobs.size() == 200);
}
