// What the leader of a resting fleet sees of a job table in one look, and what a heartbeat tells.
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

JobTable::Pulse pulse(QueueBench& b, const std::string& queue = "q") {
  return b.await(b.jobs.pulse({"another", queue}));
}

}  // namespace

TEST_CASE("pulse: of an idle table there is nothing to tell") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(1, "status", "'completed'");
    b.insert(2);
    b.claim(node);
    const auto found = pulse(b);
    CHECK_FALSE(found.next_parked);
    CHECK_FALSE(found.survivors);
    CHECK_FALSE(found.orphans);
    CHECK_FALSE(found.ready);
  }
}

TEST_CASE("pulse: tells how long until the next parked job is due") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.insert_one("scheduled_at", "now() + interval '1 hour'");
    b.insert_one("scheduled_at", "now() + interval '10 min'");
    auto found = pulse(b);
    REQUIRE(found.next_parked);
    CHECK(*found.next_parked <= 10min);
    CHECK(*found.next_parked > 9min);
    CHECK_FALSE(found.ready);
    b.exec("UPDATE {parked} SET run_at = now() - interval '1 min'");
    found = pulse(b);
    CHECK(found.next_parked == 0ms);
  }
}

TEST_CASE("pulse: tells that jobs are ready, of the queues that nodes serve and whose time has come") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.insert_one("priority", "9");
    CHECK(pulse(b).ready);
    CHECK_FALSE(pulse(b, "other").ready);
    b.exec("UPDATE {ready} SET run_at = now() + interval '1 hour'");
    CHECK_FALSE(pulse(b).ready);
  }
}

TEST_CASE("pulse: what was ready before the marks is not looked for") {
  QueueBench b;
  b.insert_one("priority", "3");
  std::vector<std::string> marks(20, "-infinity");
  CHECK(b.await(b.jobs.pulse({"another", "q"}, marks)).ready);
  marks[13] = b.value("SELECT now() + interval '1 minute'");
  CHECK_FALSE(b.await(b.jobs.pulse({"another", "q"}, marks)).ready);
  marks[13] = b.value("SELECT now() - interval '1 minute'");
  CHECK(b.await(b.jobs.pulse({"another", "q"}, marks)).ready);
}

TEST_CASE("pulse: tells that jobs which a node's death has met are due") {
  for (const char* table : kJobTables) {
    for (const char* crashes : {"1", "2"}) {
      CAPTURE(crashes);
      QueueBench b(table);
      b.insert_one("crashes", crashes);
      CHECK(pulse(b).survivors);
      CHECK_FALSE(pulse(b).next_parked);
      CHECK_FALSE(pulse(b, "other").survivors);
      b.exec("UPDATE {t} SET scheduled_at = now() + interval '1 hour'");
      b.exec("DELETE FROM {parked} WHERE run_at < now() + interval '1 min'");
      CHECK_FALSE(pulse(b).survivors);
    }
  }
}

TEST_CASE("pulse: tells that a claim has lost its node") {
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
      CAPTURE(r.name);
      QueueBench b(table);
      b.insert(2);
      b.claim(b.node());
      CHECK_FALSE(pulse(b).orphans);
      b.exec(r.sql);
      CHECK(pulse(b).orphans);
      b.await(b.jobs.reap(3, 0));
      CHECK_FALSE(pulse(b).orphans);
    }
  }
}
