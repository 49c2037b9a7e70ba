// The answer to a commit is lost on its way: the job's row tells whether it happened.
#include <atomic>
#include <thread>

#include "base/system_clock.hpp"
#include "support/db/pg_proxy.hpp"
#include "transactions_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;

namespace {

/// Transactions through a proxy that can cut their connection.
struct CutBench : TransactionsBench {
  explicit CutBench(const std::string& of, unsigned wires = 0)
      : TransactionsBench(of), proxy(db.url()), far(options(), log),
        cut(far, ports, clock, {"job_queue"}, options(), make_lanes(options(), wires, io.get_executor(), clock)) {
    if (adopted) cut.describe(adopted_map());
  }

  PoolOptions options() {
    PoolOptions through = *direct_options(db.options());  // a pooler has BEGIN answered first
    through.url = proxy.url();
    through.threads = 1;
    return through;
  }
  /// "ours", "lost", or "undone" and whether somebody would still have to find out.
  std::string call(const SqlFunction& of, const std::vector<ClaimedJob>& jobs_claimed) {
    try {
      return await(cut.call(of, contexts_of(jobs_claimed), 10min)).at(0).ours() ? "ours" : "lost";
    } catch (const DbError& error) {
      return error.outcome_unknown() ? "unknown" : "undone";
    }
  }
  template <class F>
  std::string complete(const ClaimedJob& job, F work) {
    std::string end = "undone";
    auto body = [&]() -> boost::asio::awaitable<void> {
      const Settled settled = co_await cut.complete(context(job), std::move(work));
      end = settled.ours() ? "ours" : "lost";
    };
    try {
      await(body());
    } catch (const DbError& error) {
      if (error.outcome_unknown()) end = "unknown";
    }
    return end;
  }

  PgProxy proxy;
  Pool far;
  FencedTransactions cut;
};

}  // namespace

TEST_CASE("lost answer: a transaction that was committed is known to be ours") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    CutBench b(table);
    const std::string id = b.insert_one();
    const auto job = b.claim(b.node()).at(0);
    auto work = [&b, id](Tx& tx) {
      tx.exec(kEffect, Params{}.add(id).add("{}"));
      b.proxy.cut_at_answer();  // of COMMIT
    };
    CHECK(b.complete(job, work) == "ours");
    CHECK(b.status(id) == "completed");
    CHECK(b.count("shop.effect") == 1);
    CHECK(b.value("SELECT attempts FROM {t}") == "1");
  }
}

TEST_CASE("lost answer: a transaction whose COMMIT never arrived is undone, and may run again") {
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    CutBench b(table);
    const std::string id = b.insert_one();
    const auto job = b.claim(b.node()).at(0);
    auto work = [&b, id](Tx& tx) {
      tx.exec(kEffect, Params{}.add(id).add("{}"));
      b.proxy.cut_at_request();
    };
    CHECK(b.complete(job, work) == "undone");
    CHECK(b.status(id) == "processing");
    CHECK(b.count("shop.effect") == 0);
    CHECK(b.complete(job, [id](Tx& tx) { tx.exec(kEffect, Params{}.add(id).add("{}")); }) == "ours");
    CHECK(b.count("shop.effect") == 1);
  }
}

TEST_CASE("lost answer: the one statement of a function is found done") {
  unsigned wires = 0;
  SUBCASE("sent by a database thread") {}
  SUBCASE("sent by the event thread") { wires = 1; }
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    CutBench b(table, wires);
    b.insert(3);
    const auto jobs = b.claim(b.node());
    // So that it is prepared, and the next answer is that of its execution.
    CHECK(b.call(function("buy", true, false), {jobs[0]}) == "ours");
    b.proxy.cut_at_answer();
    CHECK(b.call(function("buy", true, false), {jobs[1]}) == "ours");
    CHECK(b.count("shop.effect") == 2);
    CHECK(b.call(function("buy", true, false), {jobs[2]}) == "ours");
    b.proxy.cut_at_request();
    b.insert(1);
    const auto late = b.claim(b.node());
    CHECK(b.call(function("buy", true, false), late) == "undone");
    CHECK(b.status(late[0].job.id) == "processing");
    CHECK(b.count("shop.effect") == 3);
  }
}

TEST_CASE("lost answer: one that still runs on the server is waited for, not run beside") {
  unsigned wires = 0;
  SUBCASE("sent by a database thread") {}
  SUBCASE("sent by the event thread") { wires = 1; }
  for (const char* table : {"job_queue", "adopted"}) {
    CAPTURE(table);
    CutBench b(table, wires);
    b.ddl("CREATE FUNCTION shop.slow(job uuid, args jsonb) RETURNS void LANGUAGE sql AS"
          " 'INSERT INTO shop.effect VALUES (job, args); SELECT pg_sleep(1)'");
    b.insert(2);
    const auto jobs = b.claim(b.node());
    CHECK(b.call(function("slow", true, false), {jobs[0]}) == "ours");
    // The answer of the statement is cut as soon as the server has its request: it goes on without us.
    std::atomic<bool> over = false, cut = false;
    std::thread cutter([&] {
      const Statement running{"test_running", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%slow%' AND "
                              "datname = current_database() AND pid <> pg_backend_pid()"};
      while (!over && b.db.query(running.text).integer(0, 0) == 0) std::this_thread::yield();
      if (over) return;
      b.proxy.refuse();
      b.proxy.admit();
      cut = true;
    });
    const std::string end = b.call(function("slow", true, false), {jobs[1]});
    over = true;
    cutter.join();
    CHECK(cut);
    CHECK(end == "ours");
    CHECK(b.count("shop.effect") == 2);
  }
}
