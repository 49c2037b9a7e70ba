// Applications whose transactions see one snapshot from their first statement to their last.
#include <functional>

#include "limits_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// `meanwhile` is committed by others when the transaction has its snapshot.
void in_one_snapshot(QueueBench& b, const std::string& meanwhile, const std::function<void(Tx&)>& work) {
  run_once(b.db.options(), TxMode::transaction, [&](Tx& tx) {
    exec_script(tx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM rowcrew.job_queue");
    b.exec(meanwhile);
    work(tx);
  });
}

}  // namespace

TEST_CASE("isolation: a key that became free since the transaction began is its own from then on") {
  QueueBench b;
  const std::string before = b.value("SELECT rowcrew.enqueue('t', p_unique_key => 'k')");
  in_one_snapshot(b, "UPDATE {t} SET status = 'cancelled'", [](Tx& tx) {
    exec_script(tx, "SELECT rowcrew.enqueue('t', p_unique_key => 'k')");
    exec_script(tx, "SELECT rowcrew.enqueue('t', p_unique_key => 'k'), rowcrew.enqueue('t', p_unique_key => 'k', p_if_exists => 'replace')");
    exec_script(tx, R"(SELECT rowcrew.enqueue_many('[{"job_type": "t", "unique_key": "k"}]'))");
  });
  CHECK(b.number("SELECT count(*) FROM {t} WHERE unique_key = 'k'") == 2);
  CHECK(b.value("SELECT count(*) || ' ' || bool_or(job_id = $1::uuid) FROM rowcrew.job_unique", Params{}.add(before)) == "1 false");
}

TEST_CASE("isolation: a job whose key another one has by now is not run again by the word of an old snapshot") {
  QueueBench b;
  b.exec("SELECT rowcrew.enqueue('t', p_unique_key => 'k')");
  b.exec("UPDATE {t} SET status = 'failed'");
  b.exec("SELECT rowcrew.enqueue('t', p_unique_key => 'k')");
  const auto again = [](Tx& tx) {
    exec_script(tx, "SELECT rowcrew.enqueue('t', p_unique_key => 'k')");
    exec_script(tx, "UPDATE rowcrew.job_queue SET status = 'pending' WHERE status = 'failed'");
  };
  CHECK_THROWS_WITH_AS(in_one_snapshot(b, "UPDATE {t} SET status = 'cancelled' WHERE status = 'pending'", again), doctest::Contains("is taken by job"), DbError);
}

TEST_CASE("isolation: a new rule is refused in a transaction that cannot see all jobs that wait") {
  LimitsBench b;
  const auto set = [](Tx& tx) { exec_script(tx, "SELECT rowcrew.limit_set('one', p_queue => 'q', p_running => 1)"); };
  CHECK_THROWS_WITH_AS(in_one_snapshot(b, "INSERT INTO {t} ({type}, queue) VALUES ('t', 'q'), ('t', 'q')", set),
                       doctest::Contains("transaction isolation: 'repeatable read', expected read committed"), DbError);
  CHECK(b.set("one", "p_queue => 'q', p_running => 1") == 2);
  const auto raise = [](Tx& tx) { exec_script(tx, "SELECT rowcrew.limit_set('one', p_queue => 'q', p_running => 2)"); };
  in_one_snapshot(b, "SELECT 1", raise);  // moves nothing
  CHECK(b.number("SELECT max_running FROM rowcrew.job_limit") == 2);
}
