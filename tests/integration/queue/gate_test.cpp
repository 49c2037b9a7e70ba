// The sleeper gate: nobody who saw the fleet awake is missed, and nobody waits for anybody.
#include "base/system_clock.hpp"
#include "beat_rows.hpp"
#include "held_transaction.hpp"
#include "pg/lane.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// A node's connection for the gate: its session holds the locks.
struct Keeper {
  explicit Keeper(QueueBench& b) : bench(b), lane(*direct_options(b.db.options()), b.io.get_executor(), clock) {}
  bool ask(const Statement& statement, Params params = {}) {
    std::vector<Call> calls;
    calls.emplace_back(statement, std::move(params));
    return bench.await(lane.exec(std::move(calls))).at(0).boolean(0, 0);
  }
  bool lead(NodeIdentity node, const std::vector<std::string>& tables = {"job_queue", "*"}) {
    return ask(sql::gate_lead, Params{}.add(node.node_id).add_array(tables));
  }
  QueueBench& bench;
  SystemClock clock;
  Lane lane;
};

/// `second` asks until it leads: an ended session gives its locks back soon.
bool comes_to_lead(Keeper& second, NodeIdentity node) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool led = false;
  while (!led && std::chrono::steady_clock::now() < deadline) led = second.lead(node);
  return led;
}

constexpr const char* kEnqueue = "INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('t', 'q')";

}  // namespace

TEST_CASE("gate: one node leads, and another when its session has ended") {
  QueueBench b;
  auto first = std::make_unique<Keeper>(b);
  Keeper second(b);
  const NodeIdentity node = b.node();
  CHECK(first->lead(node));
  CHECK(first->lead(node));  // it may ask again
  CHECK_FALSE(second.lead(node));
  first.reset();
  CHECK(comes_to_lead(second, node));
}

TEST_CASE("gate: a node whose connection fell silent ends the session that it left behind") {
  QueueBench b;
  Keeper silent(b), again(b);
  const NodeIdentity node = b.node();
  REQUIRE(silent.lead(node));
  REQUIRE(silent.ask(sql::gate_sleep));
  CHECK_FALSE(again.lead(node));  // it may have said something just now
  b.ddl("SELECT rowcrew.set_clock_offset('3 s')");
  CHECK(comes_to_lead(again, node));
  CHECK(again.ask(sql::gate_sleep));
}

TEST_CASE("gate: the session of a dead node is ended for the next leader, that of a living one is not") {
  QueueBench b;
  Keeper leader(b), other(b);
  const NodeIdentity node = b.node(), next = b.node();
  REQUIRE(leader.lead(node));
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
  for (int i = 0; i < 3; ++i) CHECK_FALSE(other.lead(next));
  CHECK(leader.ask(sql::gate_sleep));  // it lives
  b.kill(node);
  CHECK(comes_to_lead(other, next));
}

TEST_CASE("gate: a heartbeat tells whether a node leads, and whether a job is long due") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const auto tells = [&] {
    const Rows rows = beat(b, node);
    return std::pair(!told(rows, "leader").empty(), !told(rows, "overdue").empty());
  };
  CHECK(tells() == std::pair(false, false));
  Keeper leader(b);
  CHECK(leader.lead(node));
  CHECK(tells() == std::pair(true, false));
  leader.ask(sql::gate_sleep);
  CHECK(tells() == std::pair(true, false));
  for (const char* table : kJobTables) {
    CAPTURE(table);
    const std::string ready = std::string("rowcrew.") + table + "_ready";
    b.exec("INSERT INTO " + ready + " (run_at, id, priority, queue) VALUES (now(), gen_random_uuid(), 7, 'q')");
    CHECK(tells() == std::pair(true, false));
    b.exec("UPDATE " + ready + " SET run_at = now() - interval '3 s', queue = 'of nobody'");
    CHECK(tells() == std::pair(true, false));
    b.exec("UPDATE " + ready + " SET queue = 'q'");
    CHECK(tells() == std::pair(true, true));
    b.exec("DELETE FROM " + ready);
  }
}

TEST_CASE("gate: a heartbeat tells which tables the leader looks after, and so does a look between two") {
  QueueBench b;
  const NodeIdentity first = b.node(), second = b.node();
  const auto looked = [&] { return b.run(sql::node_look, Params{}.add(second.node_id)); };
  CHECK(looked().is_null(0, 4));
  Keeper leader(b);
  REQUIRE(leader.lead(first, {"job_queue", "*"}));
  CHECK(told(beat(b, second), "leader") == Ids{"{job_queue,*}"});
  CHECK(looked().text(0, 4) == "{job_queue,*}");
  REQUIRE(leader.lead(second, {"processing_jobs"}));
  CHECK(told(beat(b, second), "leader") == Ids{"{processing_jobs}"});
}

TEST_CASE("gate: the session of a dead node leads nobody, although it lives on with its locks") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const NodeIdentity cut_off = b.node();
  const auto led = [&] { return !told(beat(b, node), "leader").empty(); };
  Keeper zombie(b);
  CHECK(zombie.lead(cut_off));
  CHECK(led());
  b.kill(cut_off);
  CHECK_FALSE(led());
  // Back to life it has another identity, and the same session leads again.
  CHECK(zombie.lead(b.node()));
  CHECK(led());
}

TEST_CASE("gate: is drained when all who found the fleet awake have ended, long as that may be") {
  QueueBench b;
  Keeper leader(b);
  CHECK(leader.ask(sql::gate_drained));
  HeldTransaction producer(b.db, kEnqueue);  // found nobody asleep: will not notify
  CHECK(leader.ask(sql::gate_sleep));
  CHECK_FALSE(leader.ask(sql::gate_drained));
  CHECK(b.claim(b.node()).empty());  // not to be seen yet, and this is why the leader must not trust what it sees
  producer.commit();
  CHECK(leader.ask(sql::gate_drained));
  CHECK(b.claim(b.node()).size() == 1);
  CHECK(leader.ask(sql::gate_wake));
}

TEST_CASE("gate: a producer in the middle of its transaction keeps neither sleepers nor producers waiting") {
  QueueBench b;
  Keeper leader(b);
  const HeldTransaction awake(b.db, kEnqueue);
  CHECK(leader.ask(sql::gate_sleep));
  const HeldTransaction asleep(b.db, kEnqueue);  // waits for nobody either, or lock_timeout would end this
  CHECK(leader.ask(sql::gate_wake));
  CHECK(leader.ask(sql::gate_sleep));
  b.exec(kEnqueue);
  CHECK(leader.ask(sql::gate_wake));
}

TEST_CASE("gate: what the leader cannot take is announced to the others") {
  QueueBench b;
  CHECK_NOTHROW(b.run(sql::gate_fan_out, Params{}.add("job_queue")));
}
