// Jobs whose time has come, by the database's clock.
#include "held_transaction.hpp"
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("promote: moves what is due, and nothing else") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const Ids due = b.insert(3, "scheduled_at, priority", "now() + interval '1 hour', 2");
    b.exec("UPDATE {parked} SET run_at = now()");
    const std::string later = b.insert_one("scheduled_at", "now() + interval '2 hours'");
    const std::string rescued = b.insert_one("crashes", "1");
    const std::string suspect = b.insert_one("crashes", "2");
    CHECK(b.await(b.jobs.promote(100)).jobs == 3);
    for (const std::string& id : due) CHECK(b.hints(id) == "ready");
    CHECK(b.hints(later) == "parked:scheduled");
    CHECK(b.hints(rescued) == "parked:rescued");
    CHECK(b.hints(suspect) == "parked:suspect");
    CHECK(b.number("SELECT count(*) FROM {ready} WHERE priority = 2 AND queue = 'q' AND "
                   "run_at BETWEEN now() - interval '1 min' AND clock_timestamp()") == 3);
    CHECK(b.await(b.jobs.promote(100)).jobs == 0);
  }
}

TEST_CASE("promote: takes a page at a time, the longest due first") {
  QueueBench b;
  b.insert(5, "scheduled_at", "now() + interval '1 hour'");
  b.exec(
      "UPDATE {parked} SET run_at = now() - interval '1 day' "
      "WHERE id = (SELECT id FROM {t} ORDER BY id DESC LIMIT 1)");
  b.exec("UPDATE {parked} SET run_at = now() WHERE run_at > now()");
  CHECK(b.await(b.jobs.promote(1)).jobs == 1);
  CHECK(b.value("SELECT id FROM {ready}") ==
        b.value("SELECT id FROM {t} ORDER BY id DESC LIMIT 1"));
  CHECK(b.await(b.jobs.promote(3)).jobs == 3);
  CHECK(b.await(b.jobs.promote(3)).jobs == 1);
}

TEST_CASE("promote: nodes share the work instead of waiting for each other") {
  QueueBench b;
  b.insert(6, "scheduled_at", "now() + interval '1 hour'");
  b.exec("UPDATE {parked} SET run_at = now()");
  HeldTransaction other(b.db,
                        "SELECT FROM rowcrew.job_queue_parked ORDER BY run_at LIMIT 2 FOR UPDATE");
  CHECK(b.await(b.jobs.promote(100)).jobs == 4);
  other.roll_back();
  CHECK(b.await(b.jobs.promote(100)).jobs == 2);
}

TEST_CASE("promote: a stale hint that is moved too early is caught by the claim") {
  QueueBench b;
  const std::string id = b.insert_one("scheduled_at", "now() + interval '1 day'");
  b.exec("UPDATE {parked} SET run_at = now()");
  CHECK(b.await(b.jobs.promote(1)).jobs == 1);
  CHECK(b.claim(b.node()).empty());
  CHECK(b.hints(id) == "parked:scheduled");
  CHECK(b.value("SELECT run_at > now() + interval '23 hours' FROM {parked}") == "t");
}

TEST_CASE("promote: under an old snapshot what was moved before is not read again") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    // One thread, whose counts are asked for in its own session.
    QueueBench b(table, 1);
    HeldTransaction old(b.db, "SELECT pg_current_xact_id()");
    b.insert(500, "scheduled_at", "now() + interval '1 hour'");
    b.ddl("SELECT rowcrew.set_clock_offset('2 hours')");
    const auto read = [&] {
      b.exec("SELECT pg_stat_force_next_flush()");
      return b.number("SELECT sum(idx_tup_read)::bigint FROM pg_stat_all_indexes WHERE relid = '{parked}'::regclass");
    };
    const JobTable::Promoted first = b.await(b.jobs.promote(300));
    REQUIRE(first.jobs == 300);
    const JobTable::Promoted rest = b.await(b.jobs.promote(300, first.last_us));
    REQUIRE(rest.jobs == 200);
    const std::int64_t before = read();
    CHECK(b.await(b.jobs.promote(300, rest.seen_us)).jobs == 0);
    CHECK_FALSE(b.await(b.jobs.next_parked(rest.seen_us)));
    CHECK(read() - before < 10);
    CHECK(b.await(b.jobs.promote(300)).jobs == 0);  // a sweep
    CHECK(read() - before >= 500);
  }
}

TEST_CASE("promote: what is parked after a look is due after its mark") {
  QueueBench b;
  const JobTable::Promoted look = b.await(b.jobs.promote(10));
  CHECK(look.jobs == 0);
  const std::string id = b.insert_one("scheduled_at", "now() + interval '1 s'");
  CHECK(b.await(b.jobs.next_parked(look.seen_us)).has_value());
  b.ddl("SELECT rowcrew.set_clock_offset('2 s')");
  CHECK(b.await(b.jobs.promote(10, look.seen_us)).jobs == 1);
  CHECK(b.hints(id) == "ready");
}

TEST_CASE("next parked: the wait for the next that is due, never below nothing") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    CHECK_FALSE(b.await(b.jobs.next_parked()));
    b.insert_one("crashes", "1");  // whom a node's death has met is claimed from where it is
    b.insert_one("crashes", "2");
    CHECK_FALSE(b.await(b.jobs.next_parked()));
    b.insert_one("scheduled_at", "now() + interval '1 hour'");
    b.insert_one("scheduled_at", "now() + interval '10 min'");
    const auto next = b.await(b.jobs.next_parked());
    REQUIRE(next);
    CHECK(*next <= 10min);
    CHECK(*next > 9min);
    b.exec("UPDATE {parked} SET run_at = now() - interval '1 min' WHERE reason = 'scheduled'");
    CHECK(b.await(b.jobs.next_parked()) == 0ms);
  }
}

TEST_CASE("next parked: a job for the year 9999, or for infinity, is looked at again within a day") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    for (const char* at : {"'9999-12-31'", "'infinity'"}) {
      CAPTURE(at);
      b.exec("TRUNCATE {t}");
      b.insert_one("scheduled_at", at);
      CHECK(b.await(b.jobs.next_parked()) == 24h);
      CHECK(b.await(b.jobs.pulse({"q"}, {})).next_parked == 24h);
      CHECK(b.await(b.jobs.promote(10)).jobs == 0);
      b.insert_one("scheduled_at", "now() + interval '10 min'");
      CHECK(b.await(b.jobs.next_parked()) <= 10min);
    }
  }
}

TEST_CASE("time: claim, promote and next parked all follow the database's clock") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one("scheduled_at", "now() + interval '20 hours'");
    CHECK(b.await(b.jobs.promote(10)).jobs == 0);
    b.ddl("SELECT rowcrew.set_clock_offset('1 day')");
    CHECK(b.await(b.jobs.next_parked()) == 0ms);
    CHECK(b.await(b.jobs.promote(10)).jobs == 1);
    CHECK(b.value("SELECT run_at > now() + interval '23 hours' FROM {ready}") == "t");
    CHECK(ids_of(b.claim(node)) == Ids{id});
    CHECK(b.value("SELECT started_at > now() + interval '23 hours' FROM {t}") == "t");
    // A row inserted now is due now, by the same clock.
    const std::string fresh = b.insert_one();
    CHECK(b.hints(fresh) == "ready");
    b.ddl("SELECT rowcrew.set_clock_offset('0')");
    CHECK(b.claim(node).empty());
  }
}
