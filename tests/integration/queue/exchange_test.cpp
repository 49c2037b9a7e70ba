// Ends and claims in one round trip and one transaction, by either way.
#include "base/system_clock.hpp"
#include "held_transaction.hpp"
#include "pg/lane.hpp"
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// A bench with a node that exchanges over a lane, or through the pool as behind a transaction pooler.
struct ExchangeBench : QueueBench {
  explicit ExchangeBench(const std::string& of, bool pooled = false) : QueueBench(of) {
    if (pooled) {
      wire = std::make_unique<PoolWire>(pool);
    } else {
      wire = std::make_unique<Lane>(*direct_options(db.options()), io.get_executor(), clock);
    }
    self = node();
  }
  Exchange claiming(std::size_t count) {
    Exchange what;
    what.token = new_token();
    what.node = self;
    what.wants = {want("q", count)};
    return what;
  }
  Exchanged exchange(Exchange what) { return await(jobs.exchange(*wire, std::move(what))); }

  SystemClock clock;
  std::unique_ptr<Wire> wire;
  NodeIdentity self;
};

std::vector<const EndedJob*> pointers(const std::vector<EndedJob>& jobs) {
  std::vector<const EndedJob*> out;
  for (const EndedJob& job : jobs) out.push_back(&job);
  return out;
}

}  // namespace

TEST_CASE("exchange: ends and the next claim happen in one transaction") {
  for (const char* table : kJobTables) {
    for (const bool pooled : {false, true}) {
      CAPTURE(table);
      CAPTURE(pooled);
      ExchangeBench b(table, pooled);
      b.insert(5);
      const auto done = ended(b.claim(b.self, 2), Completed(R"({"n": 1})"));
      const std::int64_t done_token = b.last_token();
      const auto failed = ended(b.claim(b.self, 1), Failed("broken", "it broke"));
      const std::int64_t failed_token = b.last_token();
      Exchange what = b.claiming(10);
      what.completed = pointers(done);
      what.completed_drop = {done_token};
      what.ended = pointers(failed);
      what.ended_drop = {failed_token};
      CHECK(what.fused());
      const std::int64_t token = what.token;
      const Exchanged answer = b.exchange(what);
      CHECK(sorted(answer.completed) == sorted({done[0].job.id, done[1].job.id}));
      CHECK(answer.ended == Ids{failed[0].job.id});
      CHECK(answer.claimed.size() == 2);
      CHECK(answer.claimed.at(0).job.claim_token == token);
      CHECK(answer.claimed.at(0).job.table == table);
      CHECK(answer.taken == TakenHints{{"q", 2}});
      CHECK(b.value("SELECT string_agg(status || n, ' ' ORDER BY status) FROM "
                    "(SELECT status, count(*) n FROM {t} GROUP BY 1) x") == "completed2 failed1 processing2");
      CHECK(b.value("SELECT string_agg(token::text, ' ') FROM {claim}") == std::to_string(token));
      CHECK(b.number("SELECT count(DISTINCT x) FROM (SELECT xmin::text FROM {t} UNION ALL SELECT xmin::text FROM {claim}) s (x)") == 1);
      CHECK(b.value("SELECT concat_ws('|', outcome, error_code, duration_ms, node_id) FROM rowcrew.job_attempt") ==
            "failed|broken|12|" + std::to_string(b.self.node_id));
    }
  }
}

TEST_CASE("exchange: each of its parts may be the only one") {
  ExchangeBench b("job_queue");
  b.insert(2);
  const Exchange nothing;
  CHECK(nothing.empty());
  Exchange what = b.claiming(1);
  CHECK_FALSE(what.fused());
  const std::int64_t first = what.token;
  const auto done = ended(b.exchange(what).claimed, Completed());
  REQUIRE(done.size() == 1);
  what = b.claiming(1);
  const std::int64_t second = what.token;
  const auto failed = ended(b.exchange(what).claimed, Failed("broken", ""));
  REQUIRE(failed.size() == 1);

  what = Exchange{};
  what.completed = pointers(done);
  what.completed_drop = {first};
  CHECK(b.exchange(what).completed == Ids{done[0].job.id});
  what = Exchange{};
  what.node = b.self;
  what.ended = pointers(failed);
  what.ended_drop = {second};
  CHECK(b.exchange(what).ended == Ids{failed[0].job.id});
  CHECK(b.count("{claim}") == 0);
}

TEST_CASE("exchange: what is to run again at once may come back with the same answer") {
  ExchangeBench b("job_queue");
  const std::string id = b.insert_one();
  auto back = ended(b.claim(b.self), Retry("busy", ""));
  REQUIRE(back.size() == 1);
  back[0].ending.delay = 0ms;
  Exchange what = b.claiming(1);
  what.ended = pointers(back);
  what.ended_drop = {back[0].job.claim_token};
  const Exchanged answer = b.exchange(what);
  REQUIRE(ids_of(answer.claimed) == Ids{id});
  CHECK(answer.claimed[0].job.attempt == 2);
}

TEST_CASE("exchange: ends whose claim was lost are not among the answers, and write nothing") {
  for (const char* table : kJobTables) {
    ExchangeBench b(table);
    const Ids ids = b.insert(2);
    const auto done = ended(b.claim(b.self), Completed());
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(ids[0]));
    Exchange what = b.claiming(5);
    what.completed = pointers(done);
    what.completed_drop = {b.last_token() - 1};
    const Exchanged answer = b.exchange(what);
    CHECK(answer.completed == Ids{ids[1]});
    CHECK(answer.claimed.empty());
    CHECK(b.status(ids[0]) == "cancelled");
    CHECK(b.count("{claim}") == 0);
  }
}

TEST_CASE("exchange: a claim that meets a held row undoes the ends too, which may then be sent alone") {
  for (const bool pooled : {false, true}) {
    ExchangeBench b("job_queue", pooled);
    const std::string first = b.insert_one();
    const auto done = ended(b.claim(b.self), Completed());
    const std::int64_t token = b.last_token();
    const std::string held = b.insert_one();
    HeldTransaction person(b.db, "UPDATE rowcrew.job_queue SET max_attempts = 9 WHERE id = '" + held + "'");
    Exchange what = b.claiming(5);
    what.completed = pointers(done);
    what.completed_drop = {token};
    std::string state;
    try {
      b.exchange(what);
    } catch (const DbError& error) {
      state = error.sqlstate();
      CHECK(std::string(error.what()).starts_with("claim"));
    }
    CHECK(state == "55P03");
    CHECK(b.status(first) == "processing");
    CHECK(b.number("SELECT token FROM {claim}") == token);
    what.token = 0;
    CHECK(b.exchange(what).completed == Ids{first});
    person.roll_back();
    CHECK(ids_of(b.exchange(b.claiming(5)).claimed) == Ids{held});
  }
}
