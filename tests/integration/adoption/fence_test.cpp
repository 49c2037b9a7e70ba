// The fence of adopted tables lies in the companion: what waits for the application's row must find
// the companion as it is by then, not as it was.
#include <future>

#include "adoption_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

EndedJob completed(const ClaimedJob& job) {
  EndedJob one;
  one.job = job.job;
  one.ending.kind = Ending::Kind::completed;
  one.ending.status = "completed";
  return one;
}

}  // namespace

TEST_CASE("adopted fence: a zombie that waited for the row while it was rescued and claimed anew writes nothing") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const auto zombie = b.claim(b.node());
    REQUIRE(zombie.size() == 1);
    AdoptionBench* bench = &b;
    std::string word;
    std::future<Ids> late;
    // One transaction takes the job away and gives it to another claim, while the zombie's write has
    // begun already and waits for the row.
    auto work = [&](Tx& tx) {
      const std::string rescue = bench->named("UPDATE {job} SET token = 77, claimed_at = clock_timestamp()");
      tx.exec(Statement{"rescue", rescue});
      const std::string touch = bench->named("UPDATE {t} SET {s} = {s}");
      tx.exec(Statement{"touch", touch});
      late = std::async(std::launch::async, [bench, zombie] {
        boost::asio::io_context io(1);
        PoolOptions options = bench->db.options();
        options.lock_timeout = 0ms;
        Pool pool(options, bench->log);
        const Rows rows = bench->db.query("SELECT epoch, template FROM rowcrew.adopted_table");
        JobTable table(pool, adopted_table_map(bench->fixture.name, rows.integer(0, 0), rows.text(0, 1)));
        return testing::run(io, table.finish_completed(std::vector<EndedJob>{completed(zombie[0])}, {}));
      });
      const auto until = std::chrono::steady_clock::now() + 20s;
      while (std::chrono::steady_clock::now() < until &&
             bench->db.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == "0") {
      }
    };
    run_once(b.db.options(), TxMode::transaction, work);
    CHECK(late.get().empty());
    CHECK(b.status(id) == fixture.words[1]);
    CHECK(b.value("SELECT token FROM {job}") == "77");
  }
}

TEST_CASE("adopted fence: endings, hand-backs and parkings under another's token write nothing") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  const NodeIdentity node = b.node();
  const auto claimed = b.claim(node);
  b.exec("UPDATE {job} SET token = 77");
  const Outcome outcomes[] = {Retry("x", "y"), Snooze(1s), Failed("x", "y"), Cancelled("z")};
  for (const Outcome& outcome : outcomes) CHECK(b.end(claimed, outcome).empty());
  b.await(b.jobs->park_unserved({claimed[0].job}, {}, 1'000ms));
  CHECK(b.status(id) == "processing");
  CHECK(b.hints(id) == "none");
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_attempt") == 0);
}

TEST_CASE("adopted fence: an old worker that checks the status and a claim never get the same job") {
  AdoptionBench b("rails");
  b.serve();
  b.insert(400);
  const NodeIdentity node = b.node();
  AdoptionBench* bench = &b;
  auto old_worker = std::async(std::launch::async, [bench] {
    std::int64_t taken = 0;
    const Statement claim{"old", "UPDATE shop.background_jobs SET state = 'running', locked_by = 'old' WHERE id = (SELECT id FROM shop.background_jobs"
                                 " WHERE state = 'queued' ORDER BY priority, id LIMIT 1) AND state = 'queued' RETURNING id"};
    boost::asio::io_context io(1);
    Pool pool(bench->db.options(), bench->log);
    for (int i = 0; i < 300; ++i) taken += static_cast<std::int64_t>(testing::run(io, pool.query(claim, Params{})).affected());
    return taken;
  });
  std::int64_t ours = 0;
  for (int i = 0; i < 300; ++i) {
    try {
      ours += static_cast<std::int64_t>(b.claim(node, 3).size());
    } catch (const DbError&) {
    }
  }
  const std::int64_t theirs = old_worker.get();
  CHECK(ours + theirs == 400);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE locked_by = 'old'") == theirs);
  CHECK(b.number("SELECT count(*) FROM {t} WHERE locked_by LIKE 'rowcrew/%'") == ours);
  CHECK(b.number("SELECT count(*) FROM {job}") == ours);
}
