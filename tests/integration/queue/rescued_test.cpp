// Jobs that one node's death has met: claimed beside others, each by itself.
#include "held_transaction.hpp"
#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::vector<ClaimedJob> claim_rescued(QueueBench& b, NodeIdentity by, std::size_t tokens, const std::vector<ClaimWant>& wants) {
  std::vector<std::int64_t> all;
  while (all.size() < tokens) all.push_back(b.new_token());
  return b.await(b.jobs.claim_rescued(all, by, wants));
}
std::vector<ClaimedJob> claim_rescued(QueueBench& b, NodeIdentity by, std::size_t count) {
  return claim_rescued(b, by, count, {QueueBench::want("q", count)});
}

}  // namespace

TEST_CASE("rescued: each is claimed under a token of its own, and not alone on its node") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(3, "crashes, status, attempts", "1, 'retrying', 2");
    b.insert(2);
    b.insert(2, "crashes", "2");
    const auto claimed = claim_rescued(b, node, 10);
    REQUIRE(claimed.size() == 3);
    CHECK(sorted(ids_of(claimed)) == sorted(ids));
    for (const ClaimedJob& c : claimed) {
      CHECK(c.job.table == table);
      CHECK(c.job.job_type == "t");
      CHECK(c.job.crashes == 1);
      CHECK(c.job.attempt == 3);
      CHECK(b.number("SELECT count(*) FROM {t} q JOIN {claim} c ON c.token = q.claim_token AND c.ids = ARRAY[q.id] "
                     "AND NOT c.alone AND c.node_id = q.worker_id AND c.epoch = $3::bigint "
                     "WHERE q.id = $1::uuid AND q.status = 'processing' AND q.claim_token = $2::bigint AND q.started_at IS NOT NULL",
                     Params{}.add(c.job.id).add(c.job.claim_token).add(node.epoch)) == 1);
    }
    CHECK(b.count("{claim}") == 3);
    CHECK(b.count("{ready}") == 2);
    CHECK(b.count("{parked}") == 2);
    CHECK(claim_rescued(b, node, 10).empty());
    CHECK(b.complete({claimed[0]}) == Ids{claimed[0].job.id});
    CHECK(b.count("{claim}") == 2);
  }
}

TEST_CASE("rescued: no more than there are tokens, no more of a queue than were asked for, the longest due first") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(4, "crashes", "1");
    b.exec("INSERT INTO {t} ({type}, queue, crashes) SELECT 't', queue, 1 FROM unnest('{a,a,a,b,b}'::text[]) queue");
    b.query("UPDATE {parked} SET run_at = now() - interval '1 hour' WHERE id = $1::uuid", Params{}.add(ids[3]));
    CHECK(ids_of(claim_rescued(b, node, 1)) == Ids{ids[3]});
    CHECK(claim_rescued(b, node, 2, {QueueBench::want("q", 10)}).size() == 2);
    const auto both = claim_rescued(b, node, 9, {QueueBench::want("a", 2), QueueBench::want("q", 5)});
    CHECK(both.size() == 3);
    CHECK(b.value("SELECT string_agg(queue || n, ' ' ORDER BY queue) FROM (SELECT queue, count(*) n FROM {parked} GROUP BY 1) x") == "a1 b2");
  }
}

TEST_CASE("rescued: claims of these and of suspects step over hints that another claim is taking") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(3, "crashes", "1");
  b.insert(2, "crashes", "2");
  const HeldTransaction other(b.db, "SELECT FROM rowcrew.job_queue_parked WHERE ctid IN (SELECT DISTINCT ON (reason) ctid FROM rowcrew.job_queue_parked) FOR UPDATE");
  CHECK(claim_rescued(b, node, 10).size() == 2);
  CHECK(b.claim_suspect(node).size() == 1);
}

TEST_CASE("rescued: one whose time has not come waits where it is") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one("crashes, scheduled_at", "1, now() + interval '1 hour'");
  const auto due = [&] { return b.await(b.jobs.has_suspect({"q"})); };
  CHECK_FALSE(due().rescued);
  const std::optional<std::chrono::milliseconds> next = due().next;
  REQUIRE(next);
  CHECK((*next > std::chrono::minutes(59) && *next <= std::chrono::minutes(60)));
  CHECK(claim_rescued(b, node, 5).empty());
  CHECK(b.hints(id) == "parked:rescued");
  b.exec("UPDATE {t} SET scheduled_at = now()");
  CHECK(due().rescued);
  CHECK_FALSE(due().suspect);
  const auto of_others = b.await(b.jobs.has_suspect({"other"}));
  CHECK_FALSE(of_others.rescued);
  CHECK(ids_of(claim_rescued(b, node, 5)) == Ids{id});
  CHECK_FALSE(due().rescued);
}

TEST_CASE("rescued: a stale hint is dropped, that of a job which still waits is filed from the truth") {
  struct Row {
    const char* change;
    const char* hints;
  };
  const Row rows[] = {
      {"status = 'cancelled'", "none"},
      {"status = 'completed'", "none"},
      {"scheduled_at = '2999-01-01'", "parked:rescued"},
      {"crashes = 2", "parked:suspect"},
  };
  for (const char* table : kJobTables) {
    for (const Row& row : rows) {
      CAPTURE(row.change);
      QueueBench b(table);
      const std::string id = b.insert_one("crashes", "1");
      const std::string stale = b.value("SELECT run_at FROM {parked}");
      b.exec("UPDATE {t} SET " + std::string(row.change));
      b.exec("DELETE FROM {parked}");
      b.query("INSERT INTO {parked} (run_at, id, priority, queue, reason) VALUES ($1::timestamptz, $2::uuid, 5, 'q', 'rescued')",
              Params{}.add(stale).add(id));
      CHECK(claim_rescued(b, b.node(), 5).empty());
      CHECK(b.hints(id) == row.hints);
      CHECK(b.count("{claim}") == 0);
    }
  }
}

TEST_CASE("rescued: one that was acquitted by hand runs with the others, once") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one("crashes", "1");
  b.exec("UPDATE {t} SET crashes = 0");
  CHECK(b.hints(id) == "parked:rescued+ready");
  CHECK(claim_rescued(b, node, 5).empty());
  CHECK(b.hints(id) == "ready");
  CHECK(ids_of(b.claim(node)) == Ids{id});
}

TEST_CASE("overdue: a job that nobody has taken for two seconds is told, ready, parked or rescued") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const auto overdue = [&](const std::string& queue) { return b.value("SELECT rowcrew.overdue('{" + queue + "}')") == "t"; };
    const auto due_since = [&](const char* kind, const std::string& span) {
      b.exec(std::string("UPDATE {") + kind + "} SET run_at = rowcrew.clock() - interval '" + span + "'");
    };
    b.insert(1);
    CHECK_FALSE(overdue("q"));
    due_since("ready", "3 s");
    CHECK(overdue("q"));
    CHECK_FALSE(overdue("another"));
    due_since("ready", "1 hour");  // told by earlier beats
    CHECK_FALSE(overdue("q"));
    b.insert(1, "scheduled_at", "now() + interval '1 hour'");
    CHECK_FALSE(overdue("q"));
    due_since("parked", "3 s");
    CHECK(overdue("another"));  // anybody may promote it
    b.exec("DELETE FROM {parked}");
    b.insert(1, "crashes", "1");
    CHECK_FALSE(overdue("q"));
    due_since("parked", "3 s");
    CHECK(overdue("q"));
    CHECK_FALSE(overdue("another"));
  }
}
