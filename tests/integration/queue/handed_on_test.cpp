// Permits that are handed on: from which jobs, and what is read for it.
#include <thread>

#include "held_transaction.hpp"
#include "limits_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The job that gets the permit of the one before.
Took next(LimitsBench& b, NodeIdentity node, const Took& before) {
  Took took = b.take(node, 1, before.jobs, false);
  REQUIRE(took.jobs.size() == 1);
  return took;
}

}  // namespace

TEST_CASE("handed on: under an old snapshot the jobs that had the permit before are not read again") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    // One thread, whose counts are asked for in its own session.
    LimitsBench b(table, 1);
    b.set("one", "p_queue => 'q', p_running => 1");
    const NodeIdentity node = b.node();
    b.insert(200);
    HeldTransaction old(b.db, "SELECT pg_current_xact_id()");
    b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");  // they were filed long ago
    const auto read = [&] {
      b.exec("SELECT pg_stat_force_next_flush()");
      return b.number(b.named("SELECT sum(idx_tup_read)::bigint FROM pg_stat_all_indexes WHERE relid = '{limited}'::regclass"));
    };
    Took took = b.take(node, 1);
    const std::int64_t before = read();
    for (int i = 0; i < 150; ++i) took = next(b, node, took);
    const std::int64_t all = read() - before;
    CAPTURE(all);
    CHECK(all >= 150);
    CHECK(all < 2'000);  // from the first on: 11,000
  }
}

TEST_CASE("handed on: a more urgent job that came later gets the permit first") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert(4);
  Took took = next(b, node, next(b, node, b.take(node, 1)));
  const Ids urgent = b.insert(1, "priority", "0");
  took = next(b, node, took);
  CHECK(took.jobs[0].job.id == urgent[0]);
  CHECK(next(b, node, took).jobs[0].job.id != urgent[0]);
}

TEST_CASE("handed on: a job whose producer committed late gets the permit within two seconds") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  const std::string late = "01890000-0000-7000-8000-000000000001";
  b.insert(1);
  HeldTransaction producer(b.db, "INSERT INTO rowcrew.job_queue (id, job_type, queue) VALUES ('" + late + "', 't', 'q')");
  b.insert(4);
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
  const Took took = next(b, node, next(b, node, b.take(node, 1)));  // of those filed after it
  producer.commit();
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour 3 s')");
  CHECK(next(b, node, took).jobs[0].job.id == late);
}

TEST_CASE("handed on: permits that come back while their claim is handed on go to nobody twice") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    LimitsBench b(table);
    b.set("some", "p_queue => 'q', p_running => 3");
    const NodeIdentity node = b.node();
    b.insert(9);
    const Took first = b.take(node, 3);
    REQUIRE(first.jobs.size() == 3);
    // Of two of its jobs another session of the node has learnt that they ended.
    HeldTransaction lowering(b.db, b.named("UPDATE {claim} SET held = 1 WHERE held > 1"));
    std::thread committer([&] {
      const auto until = std::chrono::steady_clock::now() + 20s;
      while (std::chrono::steady_clock::now() < until &&
             b.db.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == "0") {
      }
      lowering.commit();
    });
    b.take(node, 3, first.jobs, false);
    committer.join();
    CHECK(b.out("some") == b.number("SELECT count(*) FROM {t} WHERE status = 'processing'"));
  }
}
