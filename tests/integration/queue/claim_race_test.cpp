// Claims beside each other, and beside people who hold rows.
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <set>

#include "held_transaction.hpp"
#include "queue_bench.hpp"
#include "together.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;

namespace {

struct Haul {
  std::vector<std::string> ids;
  std::size_t claims = 0;
};

/// Claims until nothing is left, ever again under a new token.
asio::awaitable<void> claim_all(JobTable& jobs, NodeIdentity node, std::int64_t token, Haul& haul) {
  for (;;) {
    std::vector<ClaimWant> wants{QueueBench::want("q", 17)};
    const auto claimed = co_await jobs.claim(token++, node, std::move(wants));
    if (claimed.empty()) co_return;
    ++haul.claims;
    for (const ClaimedJob& c : claimed) haul.ids.push_back(c.job.id);
  }
}

std::chrono::milliseconds took(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

}  // namespace

TEST_CASE("claim: claimers at once never share one of two thousand jobs, and leave none") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table, 4);
    constexpr std::size_t kJobs = 2'000;
    b.insert(kJobs);
    constexpr int kClaimers = 4;
    Haul hauls[kClaimers];
    NodeIdentity nodes[kClaimers];
    for (NodeIdentity& node : nodes) node = b.node();
    // All connections are made before the race begins.
    static constexpr Statement kNap{"nap", "SELECT pg_sleep(0.2)"};
    together(b, kNap, Params{}, kClaimers);
    int left = kClaimers;
    std::exception_ptr failure;
    for (int i = 0; i < kClaimers; ++i) {
      asio::co_spawn(b.io, claim_all(b.jobs, nodes[i], 1'000'000 * (i + 1), hauls[i]),
                     [&](std::exception_ptr e) {
                       if (e) failure = e;
                       if (--left == 0) b.io.stop();
                     });
    }
    b.io.restart();
    b.io.run();
    if (failure) std::rethrow_exception(failure);
    std::set<std::string> all;
    std::size_t sum = 0;
    int workers = 0;
    for (const Haul& haul : hauls) {
      workers += haul.claims > 1 ? 1 : 0;
      sum += haul.ids.size();
      all.insert(haul.ids.begin(), haul.ids.end());
    }
    CHECK(workers > 1);  // else there was no race
    CHECK(sum == kJobs);
    CHECK(all.size() == kJobs);
    CHECK(b.count("{ready}") == 0);
    // What each was told is what the rows say.
    CHECK(b.number("SELECT count(*) FROM {t} q JOIN {claim} c ON c.token = q.claim_token "
                   "WHERE q.status = 'processing' AND q.id = ANY (c.ids) "
                   "AND c.node_id = q.worker_id") == kJobs);
    CHECK(b.number("SELECT sum(cardinality(ids)) FROM {claim}") == kJobs);
  }
}

TEST_CASE("claim: a claim steps over hints that another claim is taking") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(10);
  const HeldTransaction other(
      b.db, "SELECT FROM rowcrew.job_queue_ready ORDER BY run_at LIMIT 4 FOR UPDATE");
  CHECK(b.claim(node).size() == 6);  // to wait for the others would end it with 55P03
}

TEST_CASE(
    "claim: a job row that somebody holds ends the claim in time, and the slow form goes around") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(5);
    HeldTransaction person(b.db,
                           b.named("UPDATE {t} SET max_attempts = 9 WHERE id = '" + ids[2] + "'"));
    std::string state;
    const auto waited = took([&] {
      try {
        b.claim(node);
      } catch (const DbError& e) {
        state = e.sqlstate();
      }
    });
    CHECK(state == "55P03");
    CHECK(waited >= 300ms);  // lock_timeout is 400 ms
    CHECK(waited < 10s);
    CHECK(b.count("{ready}") == 5);
    CHECK(b.count("{claim}") == 0);

    const std::int64_t token = b.new_token();
    const auto around = b.await(b.jobs.claim_unlocked(token, node, {QueueBench::want("q", 10)}));
    CHECK(around.size() == 4);
    for (const ClaimedJob& c : around) {
      CHECK(c.job.id != ids[2]);
      CHECK(c.job.claim_token == token);
      CHECK(c.job.job_type == "t");
    }
    CHECK(b.hints(ids[2]) == "ready");
    CHECK(b.number("SELECT cardinality(ids) FROM {claim}") == 4);
    person.commit();
    CHECK(ids_of(b.claim(node)) == Ids{ids[2]});
  }
}

TEST_CASE("claim: a person who cancels while the claim waits for the row wins") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one();
  HeldTransaction person(b.db, "UPDATE rowcrew.job_queue SET status = 'cancelled'");
  std::vector<ClaimedJob> claimed;
  bool answered = false;
  asio::co_spawn(b.io, b.jobs.claim(7, node, {QueueBench::want("q", 1)}),
                 [&](std::exception_ptr e, std::vector<ClaimedJob> jobs) {
                   if (e) std::rethrow_exception(e);
                   claimed = std::move(jobs);
                   answered = true;
                 });
  b.io.restart();
  b.io.poll();
  // The claim is waiting for the row now; the server says so.
  while (b.db.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0") b.io.poll();
  person.commit();
  while (!answered) b.io.run_one();
  CHECK(claimed.empty());
  CHECK(b.status(id) == "cancelled");
  // At most a stale hint is left, which goes the way of all of them.
  b.await(b.jobs.promote(10));
  CHECK(b.claim(node).empty());
  CHECK(b.hints(id) == "none");
}

TEST_CASE("claim unlocked: steps over hints that another claim is taking, too") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(10);
  const HeldTransaction other(
      b.db, "SELECT FROM rowcrew.job_queue_ready ORDER BY run_at LIMIT 4 FOR UPDATE");
  CHECK(b.await(b.jobs.claim_unlocked(7, node, {QueueBench::want("q", 100)})).size() == 6);
}

TEST_CASE("claim unlocked: takes by priority and limit, and leaves hints that are not true") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string low = b.insert_one("priority", "8");
    const std::string high = b.insert_one("priority", "1");
    const std::string cancelled = b.insert_one("priority", "0");
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(cancelled));
    const std::string later = b.insert_one("priority", "0");
    b.query("UPDATE {t} SET scheduled_at = '2999-01-01Z' WHERE id = $1::uuid", Params{}.add(later));
    const std::string rescued = b.insert_one("priority", "0");
    b.query("UPDATE {t} SET crashes = 1 WHERE id = $1::uuid", Params{}.add(rescued));
    const std::string elsewhere = b.insert_one("priority", "0");
    b.query("UPDATE {t} SET queue = 'other' WHERE id = $1::uuid", Params{}.add(elsewhere));
    TakenHints taken;
    auto claimed = b.await(b.jobs.claim_unlocked(7, node, {QueueBench::want("q", 1)}, &taken));
    CHECK(ids_of(claimed) == Ids{high});
    CHECK(taken == TakenHints{{"q", 1}});
    claimed = b.await(b.jobs.claim_unlocked(8, node, {QueueBench::want("q", 9)}));
    CHECK(ids_of(claimed) == Ids{low});
    CHECK(b.await(b.jobs.claim_unlocked(9, node, {QueueBench::want("q", 9)})).empty());
    CHECK(b.hints(cancelled) == "ready");
    CHECK(b.hints(later) == "parked:scheduled+ready");
    CHECK(b.hints(rescued) == "parked:rescued+ready");  // to be claimed by itself
    CHECK(b.status(elsewhere) == "pending");
    CHECK(b.count("{claim}") == 2);
  }
}
