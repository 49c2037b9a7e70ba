// What a node gives back, and how it learns what is no longer its own.
#include <map>

#include "held_transaction.hpp"
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::vector<Job> jobs_of(const std::vector<ClaimedJob>& claimed) {
  std::vector<Job> jobs;
  for (const ClaimedJob& c : claimed) jobs.push_back(c.job);
  return jobs;
}

}  // namespace

TEST_CASE("own claims: a node sees its own of this life, and no others") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node(1);
    const NodeIdentity other = b.node(2);
    const NodeIdentity earlier{node.node_id, 0};
    b.insert(6);
    b.claim(node, 2);
    const std::int64_t mine = b.last_token();
    b.claim(other, 2);
    b.claim(earlier, 2);
    const auto rows = b.await(b.jobs.own_claims(node));
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].token == mine);
    CHECK(rows[0].ids.size() == 2);
    CHECK(b.await(b.jobs.own_claims({99, 1})).empty());
  }
}

TEST_CASE("hand back: a claim whose answer was lost is undone: due at once, nothing counted") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string fresh = b.insert_one();
    const std::string tried = b.insert_one("status, attempts", "'retrying', 2");
    b.claim(node);
    CHECK(b.await(b.jobs.hand_back(b.last_token(), node.node_id)) == 2);
    CHECK(b.status(fresh) == "pending");
    CHECK(b.status(tried) == "retrying");
    CHECK(b.hints(fresh) == "ready");
    CHECK(b.hints(tried) == "ready");
    CHECK(b.count("{claim}") == 0);
    CHECK(b.number("SELECT sum(attempts) + sum(crashes) FROM {t}") == 2);
    CHECK(b.await(b.jobs.hand_back(b.last_token(), node.node_id)) == 0);
  }
}

TEST_CASE("hand back: leaves what others have by now, and other nodes' claims") {
  QueueBench b;
  const NodeIdentity node = b.node(1);
  const NodeIdentity other = b.node(2);
  const Ids ids = b.insert(3);
  const auto claimed = b.claim(node);
  const std::int64_t token = b.last_token();
  CHECK(b.await(b.jobs.hand_back(token, other.node_id)) == 0);
  CHECK(b.count("{claim}") == 1);

  b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(ids[0]));
  b.query("UPDATE {t} SET status = 'pending' WHERE id = $1::uuid", Params{}.add(ids[1]));
  CHECK(ids_of(b.claim(other)) == Ids{ids[1]});
  CHECK(b.await(b.jobs.hand_back(token, node.node_id)) == 1);
  CHECK(b.status(ids[0]) == "cancelled");
  CHECK(b.status(ids[1]) == "processing");
  CHECK(b.status(ids[2]) == "pending");
  CHECK(b.count("{claim}") == 1);
}

TEST_CASE("hand back: a row that somebody holds leaves everything as it was, for the next time") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const Ids ids = b.insert(2);
  b.claim(node);
  HeldTransaction person(
      b.db, "UPDATE rowcrew.job_queue SET max_attempts = 9 WHERE id = '" + ids[1] + "'");
  CHECK_THROWS_AS(b.await(b.jobs.hand_back(b.last_token(), node.node_id)), DbError);
  CHECK(b.status(ids[0]) == "processing");
  CHECK(b.count("{claim}") == 1);
  person.commit();
  CHECK(b.await(b.jobs.hand_back(b.last_token(), node.node_id)) == 2);
}

TEST_CASE("lost running: tells each job that is no longer ours, and what it is now") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(6);
    const auto claimed = b.claim(node);
    CHECK(b.await(b.jobs.lost_running(jobs_of(claimed))).empty());
    const auto set = [&](std::size_t i, const std::string& change) {
      b.query("UPDATE {t} SET " + change + " WHERE id = $1::uuid", Params{}.add(ids[i]));
    };
    set(0, "status = 'pending'");
    set(1, "status = 'cancelled'");
    set(2, "claim_token = 5");
    b.query("DELETE FROM {t} WHERE id = $1::uuid", Params{}.add(ids[3]));
    set(4, "error_message = 'still ours'");
    const auto lost = b.await(b.jobs.lost_running(jobs_of(claimed)));
    std::map<std::string, std::string> by_id;
    for (const LostJob& job : lost) {
      by_id[job.id] = job.status;
      CHECK(job.token == claimed.front().job.claim_token);
    }
    CHECK(by_id == std::map<std::string, std::string>{{ids[0], "pending"},
                                                      {ids[1], "cancelled"},
                                                      {ids[2], "processing"},
                                                      {ids[3], "deleted"}});
  }
}

TEST_CASE("park unserved: jobs that no handler here serves wait, uncounted, for others to try") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const std::string fresh = b.insert_one();
    const std::string tried = b.insert_one("status, attempts", "'retrying', 1");
    const std::string lost = b.insert_one();
    const auto claimed = b.claim(node);
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(lost));
    b.await(b.jobs.park_unserved(jobs_of(claimed), {b.last_token()}, 30s));
    CHECK(b.status(fresh) == "pending");
    CHECK(b.status(tried) == "retrying");
    CHECK(b.status(lost) == "cancelled");
    CHECK(b.hints(fresh) == "parked:scheduled");
    CHECK(b.hints(tried) == "parked:backoff");
    CHECK(b.hints(lost) == "none");
    CHECK(b.number("SELECT sum(attempts) FROM {t}") == 1);
    CHECK(b.count("{claim}") == 0);
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE run_at BETWEEN now() + interval '20 s' "
                   "AND now() + interval '31 s'") == 2);
  }
}

TEST_CASE("park unserved: a job that another node runs by now stays with it") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node(1);
    const NodeIdentity other = b.node(2);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(node);
    b.exec("UPDATE {t} SET status = 'pending'");
    const auto again = b.claim(other);
    REQUIRE(ids_of(again) == Ids{id});
    b.await(b.jobs.park_unserved(jobs_of(claimed), {claimed.front().job.claim_token}, 30s));
    CHECK(b.status(id) == "processing");
    CHECK(b.hints(id) == "none");
    CHECK(b.complete(again) == Ids{id});
  }
}

TEST_CASE("park unserved: a claim of which other jobs run keeps its row") {
  QueueBench b;
  const NodeIdentity node = b.node();
  b.insert(2);
  const auto claimed = b.claim(node);
  b.await(b.jobs.park_unserved({claimed[0].job}, {}, 30s));
  CHECK(b.count("{claim}") == 1);
  CHECK(b.status(claimed[1].job.id) == "processing");
}

TEST_CASE("drop claims: removes the rows that are named, of this node only") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity node = b.node(1);
    const NodeIdentity other = b.node(2);
    b.insert(3);
    std::vector<std::int64_t> tokens;
    for (const NodeIdentity& by : {node, node, other}) {
      b.claim(by, 1);
      tokens.push_back(b.last_token());
    }
    b.await(b.jobs.drop_claims({tokens[0], tokens[2]}, node.node_id));
    CHECK(b.value("SELECT string_agg(token::text, ',' ORDER BY token) FROM {claim}") ==
          std::to_string(tokens[1]) + "," + std::to_string(tokens[2]));
  }
}
