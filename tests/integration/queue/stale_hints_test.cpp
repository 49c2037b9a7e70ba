// What a claim does about hints that are not true (any more).
#include "held_transaction.hpp"
#include "queue/job_control.hpp"
#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// Files a hint by hand, as a stale one that was left behind.
void file_hint(QueueBench& b, const std::string& id, const std::string& columns,
               const std::string& values) {
  b.query("INSERT INTO {ready} (id, " + columns + ") VALUES ($1::uuid, " + values + ")",
          Params{}.add(id));
}

}  // namespace

TEST_CASE(
    "claim: a job moved to later has a stale early hint: it is not run, but filed for its time") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one();
    b.exec("UPDATE {t} SET scheduled_at = '2999-01-01Z'");
    CHECK(b.hints(id) == "parked:scheduled+ready");
    b.exec("DELETE FROM {parked}");  // what the trigger filed: the claim must do it by itself
    CHECK(b.claim(node).empty());
    CHECK(b.status(id) == "pending");
    CHECK(b.hints(id) == "parked:scheduled");
    CHECK(b.value("SELECT run_at FROM {parked}") == "2999-01-01 00:00:00+00");
  }
}

TEST_CASE("claim: a job that is postponed again and again keeps one hint, that of its time") {
  for (const char* kind : {"job_queue", "processing_jobs", "adopted"}) {
    CAPTURE(kind);
    const bool adopted = kind == std::string("adopted");
    QueueBench b(adopted ? "job_queue" : kind);
    if (adopted) {
      b.adopt_like_job_queue();
      b.exec("INSERT INTO {t} (id, job_type, queue, scheduled_at) VALUES (gen_random_uuid(), 't', 'q', now() + interval '1 min')");
    } else {
      b.insert(1, "scheduled_at", "now() + interval '1 min'");
    }
    const NodeIdentity node = b.node();
    for (int hours = 1; hours <= 5; ++hours) {
      b.exec("UPDATE {t} SET scheduled_at = now() + interval '" + std::to_string(hours) + " hours'");
      // As one that was promoted while the job was postponed.
      b.exec("DELETE FROM {parked} WHERE run_at < (SELECT scheduled_at FROM {t})");
      b.exec("INSERT INTO {parked} (run_at, id, priority, queue, reason) SELECT now(), id, priority, queue, reason FROM {parked}");
      CHECK(b.await(b.jobs.promote(10)).jobs == 1);
      CHECK(b.claim(node).empty());
      CHECK(b.count("{ready}") == 0);
      CHECK(b.value("SELECT string_agg((p.run_at = q.scheduled_at)::text, ' ') FROM {parked} p, {t} q") == "true");
    }
    b.ddl("SELECT rowcrew.set_clock_offset('6 hours')");
    CHECK(b.await(b.jobs.promote(10)).jobs == 1);
    CHECK(b.claim(node).size() == 1);
  }
}

TEST_CASE("claim: behind rules about limits, too, a job that is postponed keeps one hint") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.exec("INSERT INTO rowcrew.job_limit (name, max_running) VALUES ('all', 5)");
    const std::string id = b.insert_one();
    for (int hours = 1; hours <= 3; ++hours) {
      b.exec("UPDATE {t} SET scheduled_at = now() + interval '" + std::to_string(hours) + " hours'");
      b.exec("DELETE FROM {parked} WHERE run_at < (SELECT scheduled_at FROM {t})");
      b.exec("SELECT rowcrew.file_truth('" + b.table + "', ARRAY(SELECT id FROM {t}))");
      CHECK(b.count("{parked}") == 1);
    }
    b.exec("DELETE FROM {parked}");
    b.exec("SELECT rowcrew.file_truth('" + b.table + "', ARRAY(SELECT id FROM {t}))");
    CHECK(b.count("{parked}") == 1);
  }
}

TEST_CASE("hints of jobs that were cancelled or deleted behind a key without room go, though no claim meets them") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.exec("SELECT rowcrew.limit_set('none', p_running => 0)");
    const std::string waits = b.insert_one();
    const std::string cancelled = b.insert_one();
    const std::string deleted = b.insert_one();
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(cancelled));
    b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(deleted));
    JobControl control(b.pool, table_map(table));
    CHECK(b.await(control.drop_ended(1, 1000)) == 1);
    CHECK(b.value("SELECT count(*) FROM {limited}") == "3");
    CHECK(b.await(control.drop_ended(0, 1)) == 1);
    CHECK(b.value("SELECT string_agg(id::text, ' ') FROM {limited}") == waits);
  }
}

TEST_CASE("hints of jobs that were cancelled or deleted in a queue that nobody claims from go, and of no other queue") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    b.exec("INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues) VALUES (1, 30000, 'a', 'a', 1, '1', '{served,paused}')");
    b.exec("INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues, dead) VALUES (1, 30000, 'b', 'b', 1, '1', '{misspelt}', true)");
    b.exec("SELECT rowcrew.pause('queue', 'paused')");
    b.exec("INSERT INTO {t} (id, {type}, queue) SELECT rowcrew.uuid7(), 't', q FROM unnest('{served,paused,misspelt}'::text[]) q, generate_series(1, 3)");
    b.exec("UPDATE {t} SET status = 'cancelled' WHERE id IN (SELECT DISTINCT ON (queue) id FROM {t} ORDER BY queue, id)");
    b.exec("DELETE FROM {t} WHERE id IN (SELECT DISTINCT ON (queue) id FROM {t} WHERE status = 'pending' ORDER BY queue, id)");
    JobControl control(b.pool, table_map(table));
    CHECK(b.await(control.drop_unclaimed(1, 1000)) == 1);
    CHECK(b.count("{ready}") == 9);
    CHECK(b.await(control.drop_unclaimed(0, 1)) == 1);
    CHECK(b.value("SELECT string_agg(queue || n, ' ' ORDER BY queue) FROM (SELECT queue, count(*) AS n FROM {ready} GROUP BY 1) x") ==
          "misspelt1 paused1 served3");
  }
}

TEST_CASE("claim: a job's own hint counts while somebody promotes it, whatever becomes of that") {
  for (const bool commits : {true, false}) {
    CAPTURE(commits);
    QueueBench b;
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one();
    b.exec("DELETE FROM {ready}");
    b.exec("INSERT INTO {parked} (run_at, id, priority, queue, reason) SELECT scheduled_at, id, priority, queue, 'scheduled' FROM {t}");
    file_hint(b, id, "run_at, priority, queue", "now(), 1, 'q'");  // of the place in line that it had before
    HeldTransaction promotion(b.db,
                              "WITH p AS (DELETE FROM rowcrew.job_queue_parked RETURNING id, priority, queue) "
                              "INSERT INTO rowcrew.job_queue_ready (run_at, id, priority, queue) SELECT now(), id, priority, queue FROM p");
    CHECK(b.claim(node).empty());
    CHECK(b.count("{ready}") == 0);
    if (commits) {
      promotion.commit();
    } else {
      promotion.roll_back();
      CHECK(b.await(b.jobs.promote(10)).jobs == 1);
    }
    CHECK(ids_of(b.claim(node)) == Ids{id});
    CHECK(b.count("{ready}") + b.count("{parked}") == 0);
  }
}

TEST_CASE("claim: a hint that leads to another queue or place in line is none of the job's own") {
  for (const char* change : {"queue = 'other'", "priority = 9"}) {
    CAPTURE(change);
    QueueBench b;
    const std::string id = b.insert_one("scheduled_at", "now() + interval '1 hour'");
    b.exec(std::string("UPDATE {t} SET ") + change);
    b.exec("UPDATE {parked} SET queue = 'q', priority = 5");
    file_hint(b, id, "run_at, priority, queue", "now(), 5, 'q'");
    CHECK(b.claim(b.node()).empty());
    CHECK(b.count("{parked}") == 2);
    CHECK(b.number(std::string("SELECT count(*) FROM {parked} WHERE ") + change) == 1);
  }
}

TEST_CASE("claim: a stale hint of a cancelled, finished, running or deleted job is dropped") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(1);
    b.exec("UPDATE {t} SET status = 'cancelled'");
    b.insert(1, "status, claim_token", "'completed', 3");
    b.insert(1, "status, claim_token", "'processing', 3");
    b.exec(
        "INSERT INTO {ready} (run_at, id, priority, queue) SELECT now(), id, 5, 'q' FROM {t} "
        "WHERE status <> 'cancelled'");
    b.exec(
        "INSERT INTO {ready} (run_at, id, priority, queue) VALUES (now(), gen_random_uuid(), 5, "
        "'q')");
    REQUIRE(b.count("{ready}") == 4);
    CHECK(b.claim(node).empty());
    CHECK(b.count("{ready}") == 0);
    CHECK(b.count("{parked}") == 0);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE claim_token = $1::bigint",
                   Params{}.add(b.last_token())) == 0);
    CHECK(b.count("{claim}") == 0);
  }
}

TEST_CASE("claim: stale hints are counted as taken, so that what lies behind them does not wait") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const Ids cancelled = b.insert(2);
  const Ids live = b.insert(3);
  b.exec("UPDATE {t} SET status = 'cancelled' WHERE id IN (SELECT id FROM {ready} ORDER BY run_at LIMIT 2)");
  const auto claim = [&](std::size_t count, TakenHints& taken) {
    return b.await(b.jobs.claim(b.new_token(), node, {QueueBench::want("q", count)}, &taken));
  };
  TakenHints taken;
  auto jobs = claim(4, taken);
  CHECK(jobs.size() == 2);
  CHECK(taken == TakenHints{{"q", 4}});
  CHECK(b.number("SELECT cardinality(ids) FROM {claim}") == 2);
  jobs = claim(4, taken);
  CHECK(jobs.size() == 1);
  CHECK(taken == TakenHints{{"q", 1}});
  CHECK(claim(4, taken).empty());
  CHECK(taken.empty());
}

TEST_CASE("claim: what comes after a backlog that was deleted, cancelled or postponed does not wait for its hints to be read") {
  struct Undo {
    const char* sql;
    int parked;
  };
  for (const Undo& undo : {Undo{"DELETE FROM {t}", 0}, Undo{"UPDATE {t} SET status = 'cancelled'", 0},
                           Undo{"UPDATE {t} SET scheduled_at = now() + interval '1 hour' WHERE status = 'pending'", 1'500}}) {
    for (const char* table : kJobTables) {
      CAPTURE(undo.sql);
      QueueBench b(table);
      const NodeIdentity node = b.node();
      b.insert(1'500);
      const std::string running = b.insert_one("priority", "0");
      REQUIRE(ids_of(b.claim(node, 1)) == Ids{running});
      b.exec(undo.sql);
      b.exec("DELETE FROM {parked}");  // what the trigger filed: the claims must do it by themselves
      const std::string last = b.insert_one();
      TakenHints taken;
      CHECK(b.await(b.jobs.claim(b.new_token(), node, {QueueBench::want("q", 8)}, &taken)).empty());
      CHECK(taken == TakenHints{{"q", 8}});
      CHECK(b.claim(node, 8).empty());
      CHECK(ids_of(b.claim(node, 8)) == Ids{last});
      CHECK(b.count("{ready}") == 0);
      CHECK(b.number("SELECT count(DISTINCT id) FROM {parked}") == undo.parked);
    }
  }
}

TEST_CASE("claim: a job that changed its queue is not run by those who serve the old one") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one();
  b.exec("UPDATE {t} SET queue = 'other'");
  b.exec("DELETE FROM {ready} WHERE queue = 'other'");
  CHECK(b.claim(node).empty());
  CHECK(b.status(id) == "pending");
  CHECK(b.value("SELECT queue FROM {parked}") == "other");
  CHECK(b.await(b.jobs.promote(10)).jobs == 1);
  CHECK(b.await(b.jobs.claim(9, node, {QueueBench::want("other", 1)})).size() == 1);
}

TEST_CASE("claim: jobs that were put back in line run in their new place") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const Ids flood = b.insert(5, "priority", "1");
  b.exec("UPDATE {t} SET priority = 9");
  const std::string urgent = b.insert_one("priority", "5");
  // The hints of priority 1 are stale: nothing of them may run before the others.
  CHECK(b.claim(node, 1).empty());
  CHECK(ids_of(b.claim(node, 1)) == Ids{urgent});
  CHECK(b.await(b.jobs.promote(100)).jobs > 0);
  CHECK(sorted(ids_of(b.claim(node, 100))) == sorted(flood));
}

TEST_CASE("claim: a stray ready hint of whom a node's death has met goes to where such jobs wait") {
  QueueBench b;
  for (const auto& [crashes, hints] : {std::pair{"1", "parked:rescued"}, std::pair{"2", "parked:suspect"}}) {
    const std::string id = b.insert_one("crashes", crashes);
    b.exec("DELETE FROM {parked}");
    file_hint(b, id, "run_at, priority, queue", "now(), 5, 'q'");
    CHECK(b.claim(b.node()).empty());
    CHECK(b.hints(id) == hints);
  }
}

TEST_CASE("claim: a job with two hints is claimed once") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    for (const std::size_t at_once : {2, 1}) {
      const std::string id = b.insert_one();
      file_hint(b, id, "run_at, priority, queue", "now(), 5, 'q'");
      const auto first = b.claim(node, at_once);
      CHECK(ids_of(first) == Ids{id});
      CHECK(b.number("SELECT cardinality(ids) FROM {claim}") == 1);
      CHECK(b.claim(node, at_once).empty());
      CHECK(b.count("{ready}") == 0);
      CHECK(b.complete(first) == Ids{id});
    }
  }
}

TEST_CASE("claim: a hint that is not due yet is left where it is") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string id = b.insert_one();
    b.exec("UPDATE {ready} SET run_at = now() + interval '1 hour'");
    CHECK(b.claim(node).empty());
    CHECK(b.await(b.jobs.claim_unlocked(b.new_token(), node, {QueueBench::want("q", 1)})).empty());
    CHECK(b.hints(id) == "ready");
  }
}
