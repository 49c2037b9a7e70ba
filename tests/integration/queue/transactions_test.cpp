// Work that commits with the end of its job, or not at all.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include <rowcrew/enqueue.hpp>

#include "sql_queries.hpp"
#include "transactions_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;

namespace {

auto effect_of(const std::string& id, std::string result = "") {
  return [id, result](Tx& tx) {
    tx.exec(kEffect, Params{}.add(id).add("{}"));
    return result;
  };
}

/// Everything that tells of an end, but for ids and times.
std::string traces(QueueBench& b, const std::string& id) {
  return b.value(
      "SELECT concat_ws('|', q.status, q.attempts, q.crashes, q.error_code, q.error_message, q.completed_at IS NOT NULL, "
      "q.claim_token IS NOT NULL, q.worker_id IS NOT NULL, "
      "(SELECT string_agg(concat_ws(',', e.event, e.job_table, e.job_type, e.data), ';') FROM rowcrew.job_event e WHERE e.job_id = q.id), "
      "(SELECT count(*) FROM rowcrew.job_attempt a WHERE a.job_id = q.id), "
      "(SELECT count(*) FROM rowcrew.job_unique u WHERE u.job_id = q.id)) FROM {t} q WHERE q.id = $1::uuid",
      Params{}.add(id));
}

}  // namespace

TEST_CASE("transactions: the work and the end of its job are one") {
  for (const char* table : kEndedTables) {
    TransactionsBench b(table);
    const std::string id = b.insert_one();
    const auto jobs = b.claim(b.node());
    const std::string column = table == std::string("processing_jobs") ? "outputs" : "result";
    CHECK(b.complete(b.context(jobs.at(0)), effect_of(id, R"({"n": 1})")));
    CHECK(b.status(id) == "completed");
    CHECK(b.value("SELECT " + column + " ->> 'n' FROM {t}") == "1");
    CHECK(b.count("shop.effect") == 1);
  }
}

TEST_CASE("transactions: a function is planned as in any session, and what follows it by index again") {
  const std::string seen = "concat_ws(',', current_setting('enable_hashjoin'), current_setting('enable_seqscan'), current_setting('plan_cache_mode'))";
  for (const char* table : kEndedTables) {
    TransactionsBench b(table);
    b.ddl("CREATE FUNCTION shop.look(job uuid, args jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.effect VALUES (job, args, " + seen +
          "); END $$; CREATE FUNCTION shop.look_and_tell(job uuid, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS "
          "$$ BEGIN PERFORM shop.look(job, args); RETURN args; END $$;");
    b.insert(4);
    const auto jobs = b.claim(b.node());
    REQUIRE(jobs.size() == 4);
    const auto all = b.contexts_of(jobs);
    CHECK(b.call(function("look", true, false), {all[0]}).at(0).ours());
    CHECK(b.call(function("look_and_tell", true, true), {all[1]}).at(0).ours());
    CHECK(b.call(function("look", true, false), {all[2], all[3]}).at(1).ours());
    CHECK(b.value("SELECT string_agg(DISTINCT settings, '; ') || ' ' || count(*) FROM shop.effect") == "on,on,auto 4");
    CHECK(b.value("SELECT " + seen) == "off,off,force_generic_plan");
  }
}

TEST_CASE("transactions: an end leaves the same traces whoever writes it") {
  for (const char* table : kJobTables) {
    TransactionsBench b(table);
    b.exec("INSERT INTO rowcrew.event_subscription VALUES ('test', '{job.completed}', NULL)");
    const Ids ids = sorted(b.insert(5, "error_code, error_message, unique_key", "'old', 'error', 'key' || n"));
    auto jobs = b.claim(b.node());
    REQUIRE(jobs.size() == 5);
    std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& c) { return a.job.id < c.job.id; });
    b.complete({jobs[0]}, false);
    CHECK(b.complete(b.context(jobs[1]), [](Tx&) {}));
    CHECK(b.call(function("buy", true, false), {&b.context(jobs[2])}).at(0).ours());
    CHECK(b.call(function("buy", true, false), {&b.context(jobs[3]), &b.context(jobs[4])}).at(1).ours());
    CHECK(traces(b, ids[0]).starts_with("completed|1|0|t|t|t|job.completed,"));
    for (std::size_t i = 1; i < ids.size(); ++i) CHECK(traces(b, ids[i]) == traces(b, ids[0]));
  }
}

TEST_CASE("transactions: an end of a job of an application's table leaves the same traces whoever writes it") {
  TransactionsBench b("adopted");
  b.exec("INSERT INTO rowcrew.event_subscription VALUES ('test', '{job.completed}', NULL)");
  const Ids ids = sorted(b.insert(5));
  auto jobs = b.claim(b.node());
  REQUIRE(jobs.size() == 5);
  std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& c) { return a.job.id < c.job.id; });
  b.complete({jobs[0]}, false);
  b.query("UPDATE {t} SET result = NULL WHERE id = $1::uuid", Params{}.add(ids[0]));
  CHECK(b.complete(b.context(jobs[1]), [](Tx&) {}));
  CHECK(b.call(function("buy", true, false), {&b.context(jobs[2])}).at(0).ours());
  CHECK(b.call(function("buy", true, false), {&b.context(jobs[3]), &b.context(jobs[4])}).at(1).ours());
  const auto left = [&b](const std::string& id) {
    return b.value("SELECT concat_ws('|', q.status, q.attempts, q.result, (SELECT string_agg(concat_ws(',', e.event, e.job_table, e.job_key = q.id::text, e.job_type, e.data), ';')"
                   " FROM rowcrew.job_event e WHERE e.job_id = q.id), (SELECT count(*) FROM rowcrew.theirs_job x WHERE x.id = q.id)) FROM {t} q WHERE q.id = $1::uuid",
                   Params{}.add(id));
  };
  CHECK(left(ids[0]) == "completed|1|job.completed,theirs,t,t,{}|0");
  for (std::size_t i = 1; i < ids.size(); ++i) CHECK(left(ids[i]) == left(ids[0]));
  CHECK(b.count("rowcrew.adopted_conflict") == 0);
}

TEST_CASE("transactions: of a job whose claim was lost nothing happens, and the work does not run") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    const Ids ids = b.insert(2);
    const NodeIdentity dead = b.node();
    const auto jobs = b.claim(dead);
    b.kill(dead);
    REQUIRE(b.await(b.jobs.reap(3, {})).jobs.size() == 2);
    bool ran = false;
    CHECK_FALSE(b.complete(b.context(jobs[0]), [&ran](Tx&) { ran = true; }));
    CHECK_FALSE(ran);
    CHECK_FALSE(b.call(function("buy", true, false), {&b.context(jobs[1])}).at(0).ours());
    CHECK(b.count("shop.effect") == 0);
    CHECK(b.count("{t} WHERE status = 'retrying'") == 2);
  }
}

TEST_CASE("transactions: of several jobs those are done whose claim stands") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    const Ids ids = sorted(b.insert(4));
    auto jobs = b.claim(b.node());
    b.query("UPDATE {t} SET status = 'cancelled' WHERE id = $1::uuid", Params{}.add(ids[2]));
    const auto contexts = b.contexts_of(jobs);
    const auto settled = b.call(function("buy", true, false), contexts);
    REQUIRE(settled.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) CHECK(settled[i].ours() == (contexts[i]->job().id != ids[2]));
    CHECK(b.count("shop.effect") == 3);
    CHECK(b.status(ids[2]) == "cancelled");
  }
}

TEST_CASE("transactions: what the work throws undoes the end") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    const std::string id = b.insert_one();
    const auto jobs = b.claim(b.node());
    auto work = [id](Tx& tx) {
      tx.exec(kEffect, Params{}.add(id).add("{}"));
      throw PermanentError("sold_out", "nothing left");
    };
    CHECK_THROWS_AS(b.complete(b.context(jobs[0]), work), PermanentError);
    CHECK(b.status(id) == "processing");
    CHECK(b.count("shop.effect") == 0);
  }
}

TEST_CASE("transactions: while the work runs, a rescuer steps over the job") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    const std::string id = b.insert_one();
    const NodeIdentity dead = b.node();
    const auto jobs = b.claim(dead);
    b.kill(dead);
    boost::asio::io_context other;
    std::size_t rescued = 99;
    auto work = [&, effect = effect_of(id)](Tx& tx) {
      rescued = testing::run(other, b.jobs.reap(3, {})).jobs.size();
      return effect(tx);
    };
    CHECK(b.complete(b.context(jobs[0]), work));
    CHECK(rescued == 0);
    CHECK(b.status(id) == "completed");
    if (!b.adopted) CHECK(b.value("SELECT crashes FROM {t}") == "0");
  }
}

TEST_CASE("transactions: each statement's timeout is below what is left of lease and deadline") {
  TransactionsBench b;
  const auto jobs = [&] { b.insert(3); return b.claim(b.node()); }();
  static constexpr Statement kTimeout{"test_timeout", "SELECT extract(epoch FROM current_setting('statement_timeout')::interval) * 1000 < $1::bigint"};
  bool below = false;
  const auto ask = [&below](Tx& tx) { below = tx.exec(kTimeout, Params{}.add(4'000)).boolean(0, 0); };
  CHECK(b.complete(b.context(jobs[0]), ask));
  CHECK_FALSE(below);  // the connection's own
  CHECK(b.complete(b.context(jobs[1], 4s), ask));
  CHECK(below);
  b.lease.until = b.clock.mono() + 4s;
  below = false;
  CHECK(b.complete(b.context(jobs[2]), ask));
  CHECK(below);
}

TEST_CASE("transactions: a function that would outlive the lease is ended by the server before") {
  TransactionsBench b;
  b.ddl("CREATE FUNCTION shop.sleep(jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(60)'");
  const std::string id = b.insert_one();
  const auto jobs = b.claim(b.node());
  b.lease.until = b.clock.mono() + 800ms;
  std::string state;
  try {
    b.call(function("sleep", false, false), {&b.context(jobs[0])});
  } catch (const DbError& error) {
    state = error.sqlstate();
  }
  CHECK(b.clock.mono() < b.lease.until);
  CHECK(state == "57014");
  CHECK(b.status(id) == "processing");
}

TEST_CASE("transactions: when nothing is left of the lease, none begins") {
  TransactionsBench b;
  const std::string id = b.insert_one();
  const auto jobs = b.claim(b.node());
  b.lease.until = b.clock.mono() - 1ms;
  CHECK_THROWS_WITH_AS(b.complete(b.context(jobs[0]), effect_of(id)), doctest::Contains("nothing is left"), TransientError);
  CHECK(b.status(id) == "processing");
}

TEST_CASE("transactions: work that took the lease's last moment is undone") {
  TransactionsBench b;
  const std::string id = b.insert_one();
  const auto jobs = b.claim(b.node());
  b.lease.until = b.clock.mono() + 300ms;
  auto work = [&b, effect = effect_of(id)](Tx& tx) {
    effect(tx);
    while (b.clock.mono() < b.lease.until) continue;
  };
  CHECK_THROWS_AS(b.complete(b.context(jobs[0]), work), TransientError);
  CHECK(b.count("shop.effect") == 0);
}

TEST_CASE("transactions: one that no thread took in time is sent again, and its job never hears of it") {
  TransactionsBench b;
  b.ddl("CREATE FUNCTION shop.slow(job uuid, args jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(1)'");
  PoolOptions one = b.db.options();
  one.threads = 1;
  one.wait = 100ms;
  Pool narrow(one, b.log);
  FencedTransactions crowded(narrow, b.ports, b.clock, {"job_queue"}, one, {});
  b.insert(3);
  const auto contexts = b.contexts_of(b.claim(b.node()));
  REQUIRE(contexts.size() == 3);
  int ours = 0;
  auto call = [&](std::string name, JobContext* of) -> boost::asio::awaitable<void> {
    SqlFunction called = function(name, true, false);
    std::vector<JobContext*> of_it{of};
    const std::vector<Settled> settled = co_await crowded.call(std::move(called), std::move(of_it), 10min);
    ours += settled.at(0).ours() ? 1 : 0;
  };
  b.await(call("buy", contexts[0]));  // short: from here on two are sent to the one thread
  std::exception_ptr failed;
  boost::asio::co_spawn(b.io, call("slow", contexts[1]), [&](std::exception_ptr error) { failed = error; });
  b.await(call("buy", contexts[2]));
  CHECK(failed == nullptr);
  CHECK(ours == 3);
}

namespace {

/// A lane that tells how many calls were on their way over it at once.
struct WatchedLane final : Wire {
  WatchedLane(std::unique_ptr<Wire> the_lane, int& the_most) : lane(std::move(the_lane)), most(the_most) {}
  boost::asio::awaitable<std::vector<Rows>> exec(std::vector<Call> calls) override {
    most = std::max(most, ++on_their_way);
    std::vector<Rows> rows = co_await lane->exec(std::move(calls));
    --on_their_way;
    co_return rows;
  }
  std::unique_ptr<Wire> lane;
  int& most;
  int on_their_way = 0;
};

}  // namespace

TEST_CASE("transactions: while they are short two are on their way over each connection, and none that is sent is broken off") {
  TransactionsBench b;
  if (b.db.options().pooled) return;  // there are no lanes then
  b.ddl("CREATE FUNCTION shop.slow(job uuid, args jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.3)'");
  PoolOptions far = b.db.options();
  far.url = "host=/nowhere";  // whatever took a thread would fail
  far.wait = 100ms;
  Pool nobody(far, b.log);
  int most = 0;
  std::vector<std::unique_ptr<Wire>> wires;
  wires.push_back(std::make_unique<WatchedLane>(std::move(make_lanes(b.db.options(), 1, b.io.get_executor(), b.clock).at(0)), most));
  FencedTransactions wired(nobody, b.ports, b.clock, {"job_queue"}, b.db.options(), std::move(wires));
  b.insert(6);
  const auto contexts = b.contexts_of(b.claim(b.node()));
  std::string order;
  auto call = [&](std::string name, std::size_t i) -> boost::asio::awaitable<void> {
    SqlFunction called = function(name, true, false);
    std::vector<JobContext*> of_it{contexts.at(i)};
    const std::vector<Settled> settled = co_await wired.call(std::move(called), std::move(of_it), 10min);
    order += std::to_string(i) + (settled.at(0).ours() ? "" : "lost");
  };
  std::exception_ptr failed;
  boost::asio::cancellation_signal stop;
  auto begin = [&](std::string name, std::size_t i) {
    auto on_end = [&](std::exception_ptr error) { failed = error ? error : failed; };
    boost::asio::co_spawn(b.io, call(std::move(name), i), boost::asio::bind_cancellation_slot(stop.slot(), on_end));
    b.io.restart();
    b.io.poll();
  };
  b.await(call("buy", 0));
  CHECK(most == 1);
  begin("slow", 1);
  b.await(call("buy", 2));
  CHECK(most == 2);
  most = 0;
  begin("slow", 3);  // the last one was long enough to count: one at a time
  stop.emit(boost::asio::cancellation_type::terminal);
  b.await(call("buy", 4));
  CHECK(most == 1);
  CHECK(failed == nullptr);
  CHECK(order == "01234");
  CHECK(b.count("{t} WHERE status = 'completed'") == 5);
}

TEST_CASE("transactions: what no connection of the event thread can send goes to a database thread") {
  TransactionsBench b;
  PoolOptions far = b.db.options();
  far.url = "host=/nowhere";
  FencedTransactions cut(b.pool, b.ports, b.clock, {"job_queue"}, b.db.options(), make_lanes(far, 1, b.io.get_executor(), b.clock));
  const std::string id = b.insert_one();
  const auto contexts = b.contexts_of(b.claim(b.node()));
  CHECK(b.await(cut.call(function("buy", true, false), contexts, 10min)).at(0).ours());
  CHECK(b.status(id) == "completed");
}

TEST_CASE("transactions: follow-up jobs are enqueued with the commit, or not at all") {
  TransactionsBench b;
  b.insert(2, "unique_key", "'key' || n");
  const auto jobs = b.claim(b.node());
  for (const bool fails : {true, false}) {
    Enqueued again;
    auto work = [&, key = b.value("SELECT unique_key FROM {t} WHERE id = $1::uuid", Params{}.add(jobs[0].job.id))](Tx& tx) {
      NewJob next("mail", R"({"amount": 12345678901234567890.10})");
      next.priority = 1;
      next.delay = 1h;
      enqueue(tx, next);
      NewJob self("t");
      self.unique_key = key;  // the job that ends here has it no more
      again = enqueue(tx, self);
      if (fails) throw PermanentError("no", "no");
    };
    if (fails) {
      CHECK_THROWS_AS(b.complete(b.context(jobs[0]), work), PermanentError);
      CHECK(b.count("{t}") == 2);
    } else {
      CHECK(b.complete(b.context(jobs[0]), work));
    }
    CHECK(again.result == Enqueued::Result::created);
  }
  CHECK(b.value("SELECT payload ->> 'amount' FROM {t} WHERE job_type = 'mail' AND priority = 1") == "12345678901234567890.10");
  CHECK(b.hints(b.value("SELECT id::text FROM {t} WHERE job_type = 'mail'")) == "parked:scheduled");
  CHECK(b.count("{t}") == 4);
}

TEST_CASE("transactions: a function gets the stored arguments, to the last digit") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    const std::string id = b.insert_one("payload", R"('{"entry": "x", "args": {"n": 92233720368547758079999.0100}}')");
    const std::string none = b.insert_one("payload", R"('{"entry": "x"}')");
    const auto jobs = b.claim(b.node());
    b.call(function("buy", true, false), b.contexts_of(jobs));
    CHECK(b.buy_args(id) == R"({"n": 92233720368547758079999.0100})");
    CHECK(b.buy_args(none) == "{}");
  }
}

TEST_CASE("transactions: what a function returns is the job's result, null is none") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    TransactionsBench b(table);
    b.insert(3, "payload", R"(jsonb_build_object('args', CASE WHEN n < 3 THEN jsonb_build_object('answer', n) ELSE '{}' END))");
    b.call(function("pick", true, true), b.contexts_of(b.claim(b.node())));
    CHECK(b.value("SELECT string_agg(coalesce(result::text, 'none'), ' ' ORDER BY result::text) FROM {t}") == "1 2 none");
    const std::string id = b.insert_one("payload", R"('{"args": {"n": 41}}')");
    b.call(function("count", false, true), b.contexts_of(b.claim(b.node())));
    CHECK(b.value("SELECT result ->> 'n' FROM {t} WHERE id = $1::uuid", Params{}.add(id)) == "42");
  }
}

TEST_CASE("transactions: one that fails undoes all of its batch") {
  TransactionsBench b;
  b.insert(5, "payload", R"(CASE n WHEN 3 THEN '{"args": {"raise": "23514"}}'::jsonb ELSE '{}' END)");
  const auto jobs = b.claim(b.node());
  CHECK_THROWS_AS(b.call(function("pick", true, true), b.contexts_of(jobs)), DbError);
  CHECK(b.count("{t} WHERE status = 'processing'") == 5);
  CHECK(b.count("shop.effect") == 0);
}

TEST_CASE("transactions: a deferred constraint is checked with the batch") {
  TransactionsBench b;
  b.ddl("CREATE TABLE shop.slot (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        "CREATE FUNCTION shop.take(jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO shop.slot VALUES (1)'");
  b.insert(2);
  const auto jobs = b.claim(b.node());
  std::string state;
  bool unknown = true;
  try {
    b.call(function("take", false, false), b.contexts_of(jobs));
  } catch (const DbError& error) {
    state = error.sqlstate();
    unknown = error.outcome_unknown();
  }
  CHECK(state == "23505");
  CHECK_FALSE(unknown);
  CHECK(b.count("{t} WHERE status = 'processing'") == 2);
  CHECK(b.call(function("take", false, false), {&b.context(jobs[0])}).at(0).ours());
}

TEST_CASE("transactions: the port of an app is told, and what it refuses has not happened") {
  TransactionsBench b;
  b.ddl("CREATE TABLE shop.told (id uuid, report jsonb);"
        "CREATE FUNCTION shop.t_ended(job uuid, ended jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
        "  INSERT INTO shop.told VALUES (job, ended);"
        "  IF ended -> 'result' = '13' THEN RAISE EXCEPTION 'unlucky' USING ERRCODE = '23514'; END IF; END $$;"
        "INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
  CHECK(b.ports.load(b.run(sql::node_ports)).empty());
  b.insert(2);
  const auto jobs = b.claim(b.node());
  CHECK(b.complete(b.context(jobs[0]), effect_of(jobs[0].job.id, "12")));
  CHECK(b.value("SELECT concat_ws('|', report ->> 'status', report ->> 'attempt', report -> 'result', report ->> 'duration_ms' IS NOT NULL) "
                "FROM shop.told WHERE id = $1::uuid", Params{}.add(jobs[0].job.id)) == "completed|1|12|t");
  std::string code;
  try {
    b.complete(b.context(jobs[1]), effect_of(jobs[1].job.id, "13"));
  } catch (const PermanentError& error) {
    code = error.code();
  }
  CHECK(code == "port_failed");
  CHECK(b.status(jobs[1].job.id) == "processing");
  CHECK(b.count("shop.effect") == 1);
  CHECK(b.count("shop.told") == 1);
  // A function's job is told of as well.
  CHECK(b.call(function("pick", true, true), {&b.context(jobs[1])}).at(0).ours());
  CHECK(b.count("shop.told") == 2);
}
