// The audit: jobs that lost their hint, or their claim, are found and filed again.
#include "held_transaction.hpp"
#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

Ids find_all(QueueBench& b) {
  return sorted(b.await(b.jobs.audit_find(0, 100'000)));
}
Ids heal(QueueBench& b, const Ids& ids) {
  return sorted(b.await(b.jobs.audit_heal(ids)));
}

}  // namespace

TEST_CASE("audit: a healthy table has nothing to heal") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    b.insert(3);
    b.insert(3, "scheduled_at", "now() + interval '1 day'");
    b.insert(1, "crashes", "1");
    b.insert(3, "status", "'completed'");
    b.insert(3, "priority", "0");
    CHECK(b.claim(node, 3).size() == 3);
    CHECK(find_all(b).empty());
    CHECK(heal(b, {}).empty());
  }
}

TEST_CASE("audit: waiting jobs without a hint are found and filed by their state") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string due = b.insert_one("priority", "2");
    const std::string later = b.insert_one("scheduled_at", "'2999-01-01Z'");
    const std::string retrying = b.insert_one("status, attempts", "'retrying', 1");
    const std::string rescued = b.insert_one("crashes", "1");
    const std::string suspect = b.insert_one("crashes", "2");
    b.insert(1);
    b.query("DELETE FROM {ready} WHERE id = ANY ($1::uuid[])",
            Params{}.add_array(Ids{due, later, retrying, rescued, suspect}));
    b.exec("DELETE FROM {parked}");
    const Ids lost = sorted({due, later, retrying, rescued, suspect});
    CHECK(find_all(b) == lost);
    CHECK(heal(b, lost) == lost);
    CHECK(b.hints(due) == "parked:scheduled");
    CHECK(b.hints(later) == "parked:scheduled");
    CHECK(b.hints(retrying) == "parked:backoff");
    CHECK(b.hints(rescued) == "parked:rescued");
    CHECK(b.hints(suspect) == "parked:suspect");
    CHECK(b.value("SELECT run_at FROM {parked} WHERE id = $1::uuid", Params{}.add(later)) ==
          "2999-01-01 00:00:00+00");
    CHECK(b.value("SELECT priority || queue FROM {parked} WHERE id = $1::uuid",
                  Params{}.add(due)) == "2q");
    CHECK(find_all(b).empty());
    CHECK(heal(b, lost).empty());  // healed once, not twice
    // From there on they go the usual way.
    CHECK(b.await(b.jobs.promote(10)).jobs == 2);
    CHECK(b.claim(b.node()).size() == 3);
  }
}

TEST_CASE("audit: a running job whose claim is gone goes back to waiting") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string fresh = b.insert_one();
    const std::string tried = b.insert_one("status, attempts", "'retrying', 2");
    b.claim(node);
    CHECK(find_all(b).empty());
    b.exec("DELETE FROM {claim}");
    b.insert_one();
    b.claim(node);  // one that is in order
    const Ids lost = sorted({fresh, tried});
    CHECK(find_all(b) == lost);
    CHECK(heal(b, lost) == lost);
    CHECK(b.status(fresh) == "pending");
    CHECK(b.status(tried) == "retrying");
    CHECK(b.hints(fresh) == "ready");
    CHECK(find_all(b).empty());
    CHECK(b.claim(node).size() == 2);
  }
}

TEST_CASE("audit: a row put to 'processing' by hand, with a token of nobody's, is healed") {
  QueueBench b;
  const std::string id = b.insert_one("status, claim_token", "'processing', 42");
  CHECK(find_all(b) == Ids{id});
  CHECK(heal(b, {id}) == Ids{id});
  CHECK(b.hints(id) == "ready");
}

TEST_CASE("audit: what was found and is in order again by the time of healing is left alone") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(4);
    b.exec("DELETE FROM {ready}");
    REQUIRE(find_all(b).size() == 4);
    const auto set = [&](std::size_t i, const std::string& change) {
      b.query("UPDATE {t} SET " + change + " WHERE id = $1::uuid", Params{}.add(ids[i]));
    };
    set(0, "status = 'cancelled'");
    b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(ids[1]));
    set(2, "scheduled_at = now()");
    REQUIRE(ids_of(b.claim(node)) == Ids{ids[2]});
    set(3, "priority = 1");
    CHECK(heal(b, ids).empty());
    CHECK(b.status(ids[0]) == "cancelled");
    CHECK(b.status(ids[2]) == "processing");
    CHECK(b.hints(ids[3]) == "ready");
  }
}

TEST_CASE("audit: a job that was found without its claim and has ended since is not run again") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(b.node());
    b.exec("DELETE FROM {claim}");
    REQUIRE(find_all(b) == Ids{id});
    CHECK(b.complete(claimed) == Ids{id});
    CHECK(heal(b, {id}).empty());
    CHECK(b.status(id) == "completed");
  }
}

TEST_CASE("audit: a job that somebody holds waits for the next pass") {
  QueueBench b;
  const Ids ids = sorted(b.insert(2));
  b.exec("DELETE FROM {ready}");
  HeldTransaction person(
      b.db, "UPDATE rowcrew.job_queue SET max_attempts = 9 WHERE id = '" + ids[0] + "'");
  CHECK(heal(b, ids) == Ids{ids[1]});
  person.roll_back();
  CHECK(heal(b, ids) == Ids{ids[0]});
}

TEST_CASE("audit: the pages of a table can be walked in pieces") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const Ids ids = sorted(b.insert(400));
    b.exec("DELETE FROM {ready}");
    const std::int64_t pages = b.await(b.jobs.audit_pages()).pages;
    REQUIRE(pages > 3);
    Ids found;
    for (std::int64_t page = 0; page < pages; page += 2) {
      const Ids some = b.await(b.jobs.audit_find(page, 2));
      CHECK_FALSE(some.empty());
      CHECK(some.size() < ids.size());
      found.insert(found.end(), some.begin(), some.end());
    }
    CHECK(sorted(found) == ids);
    CHECK(b.await(b.jobs.audit_find(pages, 100)).empty());
  }
}

TEST_CASE("audit: hints lost in any way heal until none is missing, and every job runs") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(200);
  b.insert(50, "scheduled_at", "now() + interval '1 hour'");
  b.exec("DELETE FROM {ready} WHERE get_byte(uuid_send(id), 15) % 3 = 0");
  b.exec("DELETE FROM {parked} WHERE get_byte(uuid_send(id), 15) % 3 = 0");
  const Ids lost = find_all(b);
  CHECK(lost.size() > 20);
  CHECK(heal(b, lost) == lost);
  CHECK(find_all(b).empty());
  b.ddl("SELECT rowcrew.set_clock_offset('2 hours')");
  b.await(b.jobs.promote(1'000));
  CHECK(b.claim(node, 500).size() == 250);
}

TEST_CASE("audit: the extent tells of every change, so that a table at rest need not be walked again") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const auto changes = [&] { return b.await(b.jobs.audit_pages()).changes; };
    std::int64_t before = changes();
    for (const char* change : {"INSERT INTO {t} ({type}, queue) VALUES ('t', 'q')", "UPDATE {t} SET priority = 1", "DELETE FROM {t}"}) {
      CAPTURE(change);
      b.db.exec(b.named(change));  // a session of its own: it reports what it did when it ends
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (changes() == before && std::chrono::steady_clock::now() < deadline) b.exec("SELECT FROM pg_sleep(0.01)");
      const std::int64_t after = changes();
      CHECK(after == before + 1);
      before = after;
    }
  }
}
