// Keys are the application's: it deletes rows and uses a key again, and it may change one.
#include <future>

#include "adoption_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// What there is beside the table: companions, progress and requests to cancel.
std::string kept(AdoptionBench& b) {
  return b.value("SELECT concat_ws('|', (SELECT count(*) FROM {job}), (SELECT count(*) FROM rowcrew.job_progress),"
                 " (SELECT count(*) FROM rowcrew.cancel_request))");
}

/// A job that has run once, left a checkpoint, waits for a minute and is to be cancelled.
std::string eventful(AdoptionBench& b) {
  const std::string id = b.insert(1)[0];
  const auto claimed = b.claim(b.node());
  ProgressWord word;
  word.id = id;
  word.token = claimed.at(0).job.claim_token;
  word.checkpoint = R"({"page": 4})";
  b.await(b.control->write_progress({word}));
  b.end(claimed, Outcome(Retry("flaky", "not yet", 60'000ms)));
  b.query("SELECT rowcrew.adopted_request_cancel($1, ARRAY[$2], 'enough')", Params{}.add(b.fixture.name).add(id));
  REQUIRE(kept(b) == "1|1|1");
  return id;
}

}  // namespace

TEST_CASE("adopted keys: the next job of a key inherits nothing of one that was deleted, truncated, ended or given back") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    eventful(b);
    b.exec("DELETE FROM {t}");
    CHECK(kept(b) == "0|0|0");
    eventful(b);
    b.exec("TRUNCATE {t}");
    CHECK(kept(b) == "0|0|0");
    eventful(b);
    b.exec("SET rowcrew.engine = ''; UPDATE {t} SET {s} = {completed}");
    CHECK(kept(b) == "0|0|0");
    b.exec("DELETE FROM {t}");
    eventful(b);
    REQUIRE(b.rowcrew({"unadopt", fixture.name}).code == 0);
    CHECK(b.number("SELECT (SELECT count(*) FROM rowcrew.job_progress) + (SELECT count(*) FROM rowcrew.cancel_request)") == 0);
  }
}

TEST_CASE("adopted keys: what a completed job has said of itself goes with its row") {
  AdoptionBench b("django");
  b.serve();
  const Ids ids = b.insert(2);
  const auto claimed = b.claim(b.node());
  for (const ClaimedJob& job : claimed) {
    ProgressWord word;
    word.id = job.job.id;
    word.token = job.job.claim_token;
    word.percent = 9;
    b.await(b.control->write_progress({word}));
  }
  CHECK(b.complete(claimed).size() == 2);
  CHECK(kept(b) == "0|2|0");
  b.exec("DELETE FROM {t} WHERE id = " + ids[0]);
  CHECK(kept(b) == "0|1|0");
}

TEST_CASE("adopted keys: one that changes while the job waits takes along what is known of it") {
  AdoptionBench b("rails");
  b.serve();
  const std::string id = eventful(b);
  b.exec("UPDATE {t} SET id = 4711 WHERE id = " + id);
  CHECK(kept(b) == "1|1|1");
  CHECK(b.await(b.control->last_checkpoint(b.fixture.name, "4711")) == R"({"page": 4})");
  CHECK(b.await(b.control->cancel_requests()).at(0).id == "4711");
  b.exec("DELETE FROM rowcrew.cancel_request; UPDATE {t} SET run_at = NULL");
  const auto again = b.claim(b.node());
  REQUIRE(again.size() == 1);
  CHECK(again[0].job.id == "4711");
  CHECK(b.complete(again) == Ids{"4711"});
}

TEST_CASE("adopted keys: one cannot change while the job runs, which would run for ever") {
  AdoptionBench b("rails");
  b.serve();
  const std::string id = b.insert(1)[0];
  const auto claimed = b.claim(b.node());
  CHECK_THROWS_WITH(b.exec("UPDATE {t} SET id = 4711"), doctest::Contains(("the key of job " + id + " cannot change while it runs").c_str()));
  CHECK(b.complete(claimed) == Ids{id});
  CHECK_NOTHROW(b.exec("UPDATE {t} SET id = 4711"));
}

TEST_CASE("adopted keys: the next job of a key inherits nothing of one that was deleted while its end waited for the row") {
  for (const char* undo : {"DELETE FROM {t}", "UPDATE {t} SET {s} = {completed}"}) {
    CAPTURE(undo);
    AdoptionBench b("django");
    b.serve();
    b.insert(1);
    const auto claimed = b.claim(b.node());
    REQUIRE(claimed.size() == 1);
    std::future<Ids> late;
    auto work = [&](Tx& tx) {
      tx.exec(Statement{"lock", b.named("SELECT FROM {t} FOR UPDATE")});
      late = std::async(std::launch::async, [&b, &claimed] {
        boost::asio::io_context io(1);
        PoolOptions options = b.db.options();
        options.lock_timeout = 0ms;
        Pool pool(options, b.log);
        const Rows rows = b.db.query("SELECT epoch, template FROM rowcrew.adopted_table");
        JobTable table(pool, adopted_table_map(b.fixture.name, rows.integer(0, 0), rows.text(0, 1)));
        return testing::run(io, table.finish_ended(ended(claimed, Outcome(Retry("flaky", "not yet", 60'000ms))), 1, {claimed[0].job.claim_token}));
      });
      const auto until = std::chrono::steady_clock::now() + 20s;
      while (std::chrono::steady_clock::now() < until &&
             b.db.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == "0") {
      }
      tx.exec(Statement{"application", "SET LOCAL rowcrew.engine = ''"});
      tx.exec(Statement{"undo", b.named(undo)});
    };
    run_once(b.db.options(), TxMode::transaction, work);
    CHECK(late.get().empty());
    CHECK(kept(b) == "0|0|0");
    CHECK(b.number("SELECT count(*) FROM {parked}") == 0);
  }
}
