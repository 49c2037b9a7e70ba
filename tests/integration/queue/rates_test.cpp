// Rates, on a clock that the test moves. ROWCREW_RATE_SECONDS chooses a longer run.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "held_transaction.hpp"
#include "limits_bench.hpp"
#include "queue/job_control.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct RateBench : LimitsBench {
  RateBench() {
    for (int i = 0; i < 4; ++i) nodes.push_back(node(100 + i));
  }
  void at(double second) { ddl(fmt::format("SELECT rowcrew.set_clock_offset('{} s')", second)); }
  /// Four nodes claim whenever they were told to look, and once in a while besides, until `seconds` have passed.
  void run(double seconds, double tick) {
    for (double second = 0; second < seconds; second += tick) {
      at(second);
      for (const NodeIdentity& node : nodes) complete(take(node, 30).jobs);
    }
  }
  std::vector<double> starts() {
    const Rows rows = query("SELECT extract(epoch FROM started_at) FROM {t} WHERE started_at IS NOT NULL ORDER BY started_at");
    std::vector<double> out;
    for (std::size_t i = 0; i < rows.size(); ++i) out.push_back(std::atof(std::string(rows.text(i, 0)).c_str()));
    return out;
  }
  std::vector<NodeIdentity> nodes;
};

double seconds() {
  const char* text = std::getenv("ROWCREW_RATE_SECONDS");
  return text == nullptr ? 30 : std::atof(text);
}

}  // namespace

TEST_CASE("rates: a sliding window never holds more starts than it may, and is full while work waits") {
  RateBench b;
  b.set("window", "p_queue => 'q', p_units => 40, p_per => '5 s'");
  b.insert(static_cast<int>(seconds() * 8) + 200);
  b.run(seconds(), 0.25);
  const auto starts = b.starts();
  std::size_t first = 0;
  for (std::size_t last = 0; last < starts.size(); ++last) {
    while (starts[last] - starts[first] > 5.0) ++first;
    CHECK(last - first + 1 <= 40);
  }
  // The first window's starts come at once, on top.
  CHECK(static_cast<double>(starts.size()) >= 0.95 * seconds() * 8);
}

TEST_CASE("rates: a bucket gives its burst and then what flows in, and no less while work waits") {
  RateBench b;
  b.set("bucket", "p_queue => 'q', p_units => 8, p_per => '1 s', p_burst => 20");
  b.insert(static_cast<int>(seconds() * 8) + 200);
  b.run(seconds(), 0.25);
  const auto starts = b.starts();
  for (std::size_t i = 0; i < starts.size(); i += 7) {
    for (std::size_t j = i; j < starts.size(); j += 5) {
      CHECK(static_cast<double>(j - i + 1) <= 20 + 8 * (starts[j] - starts[i]) + 1e-3);
    }
  }
  CHECK(static_cast<double>(starts.size()) >= 0.95 * (seconds() - 0.25) * 8 + 20 - 8);
}

TEST_CASE("rates: a claim steps around a key that another claim takes from") {
  LimitsBench b;
  b.set("bucket", "p_queue => 'q', p_units => 5, p_per => '1 h', p_burst => 5");
  const NodeIdentity node = b.node();
  b.insert(8);
  CHECK(b.take(node, 1).jobs.size() == 1);
  HeldTransaction other(b.db, "SELECT FROM rowcrew.limit_key FOR UPDATE");
  CHECK(b.take(node, 8).jobs.empty());
  other.commit();
  CHECK(b.take(node, 8).jobs.size() == 4);
}

TEST_CASE("rates: a job that weighs more takes more units, and is not passed by lighter ones of its group") {
  LimitsBench b;
  b.insert_one("payload", R"('{"tokens": 70}')");
  b.set("tokens", "p_queue => 'q', p_units => 100, p_per => '1 min', p_weight => 'payload.tokens'");
  const std::string heavy = b.insert_one("payload", R"('{"tokens": 40}')");
  const std::string light = b.insert_one("payload", R"('{"tokens": 10}')");
  const NodeIdentity node = b.node();
  CHECK(b.take(node, 5).jobs.size() == 1);
  const Took took = b.take(node, 5);
  CHECK(took.jobs.empty());
  REQUIRE(took.answer.look);
  CHECK(*took.answer.look > 59s);
  CHECK(*took.answer.look <= 60s);
  b.ddl("SELECT rowcrew.set_clock_offset('61 s')");
  CHECK(b.take(node, 5).jobs.size() == 2);
}

TEST_CASE("rates: a job weighs what its payload says, also where that is billions or no whole number") {
  LimitsBench b;
  b.set("bytes", "p_queue => 'q', p_units => 100000, p_per => '1 s', p_weight => 'payload.bytes'");
  const std::vector<std::pair<std::string, std::int64_t>> weights = {{"5000000000", 100000}, {"12.25", 13}, {"70.0", 70}, {"0", 1}, {"-5", 1}, {R"("many")", 1}};
  for (const auto& [bytes, units] : weights) {
    CAPTURE(bytes);
    b.insert_one("payload", fmt::format(R"('{{"bytes": {}}}')", bytes));
    CHECK(b.number("DELETE FROM {limited} RETURNING units[1]") == units);
  }
}

TEST_CASE("rates: a claim does not read all that has started in a long window, which holds no more for it") {
  LimitsBench b;
  b.set("day", "p_queue => 'q', p_units => 1000, p_per => '1 day'");
  b.exec("INSERT INTO rowcrew.limit_start SELECT 'day', now() - interval '12 h' + i * interval '1 s', 1 FROM generate_series(1, 500) i");
  b.insert(1500);
  const NodeIdentity node = b.node();
  b.forget_keys();
  CHECK(b.count("rowcrew.limit_start") <= 7);
  CHECK(b.number("SELECT sum(units) FROM rowcrew.limit_start") == 500);
  CHECK(b.take(node, 1000).jobs.size() == 500);
  CHECK(b.take(node, 1000).jobs.empty());
  b.ddl("SELECT rowcrew.set_clock_offset('12 h 250 s')");  // half of them are over
  b.forget_keys();
  const std::size_t free = b.take(node, 1000).jobs.size();
  CHECK(free <= 255);
  CHECK(free >= 160);
}

TEST_CASE("rates: a rate that is lowered below what a waiting job weighs does not keep it for ever") {
  LimitsBench b;
  const std::string rule = "p_queue => 'q', p_per => '1 min', p_weight => 'payload.tokens', p_units => ";
  b.insert_one("payload", R"('{"tokens": 70}')");
  b.set("tokens", rule + "100");
  b.set("tokens", rule + "50");
  CHECK(b.take(b.node(), 5).jobs.size() == 1);
}

TEST_CASE("rates: a heavy job that was filed behind a rule that is gone runs in the first free slot") {
  LimitsBench b;
  const std::string id = b.insert_one();
  b.exec("DELETE FROM {ready}");
  b.exec("INSERT INTO {limited} (run_at, id, priority, queue, grp, keys, units) SELECT now(), id, priority, queue, '{gone}', '{gone}', '{70}' FROM {t}");
  b.set("other", "p_queue => 'elsewhere', p_running => 1");
  CHECK(b.take(b.node(), 1).jobs.size() == 1);
  CHECK(b.status(id) == "processing");
}

TEST_CASE("rates: of a rate and a limit together a job takes both or none") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  b.set("rate", "p_queue => 'q', p_units => 5, p_per => '1 min'");
  b.insert(3);
  const NodeIdentity node = b.node();
  const Took first = b.take(node, 5);
  REQUIRE(first.jobs.size() == 1);
  CHECK(b.number("SELECT coalesce(sum(units), 0) FROM rowcrew.limit_start") == 1);
  CHECK(b.take(node, 5).jobs.empty());
  CHECK(b.number("SELECT coalesce(sum(units), 0) FROM rowcrew.limit_start") == 1);
  CHECK(b.take(node, 5, first.jobs).jobs.size() == 1);  // not handed over: each start is charged
  CHECK(b.number("SELECT coalesce(sum(units), 0) FROM rowcrew.limit_start") == 2);
}

TEST_CASE("rates: a job that a hint of before says weighs more than its rule allows keeps nobody from starting") {
  for (const char* more : {"", ", p_burst => 20"}) {
    CAPTURE(more);
    LimitsBench b;
    b.insert_one("payload", R"('{"tokens": 1}')");
    b.set("tokens", std::string("p_queue => 'q', p_units => 20, p_per => '1 min', p_weight => 'payload.tokens'") + more);
    b.exec("UPDATE {limited} SET units = '{50}'");  // committed after the rule was lowered
    CHECK(b.take(b.node(), 5).jobs.size() == 1);
    b.insert_one("payload", R"('{"tokens": 1}')");
    CHECK(b.take(b.node(), 5).jobs.empty());
  }
}

TEST_CASE("rates: a hint that weighs much takes one permit when its rule is a limit now") {
  LimitsBench b;
  b.insert_one("payload", R"('{"tokens": 1}')");
  b.set("tokens", "p_queue => 'q', p_running => 3");
  b.set("other", "p_queue => 'q', p_units => 20, p_per => '1 min', p_weight => 'payload.tokens'");
  b.exec("UPDATE {limited} SET units[2] = 50");
  CHECK(b.take(b.node(), 5).jobs.size() == 1);
  CHECK(b.out("tokens") == 1);
}

TEST_CASE("rates: a job that is laid aside because its type is paused costs nothing, and others of its group need not be claimed for it") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    LimitsBench b(table);
    JobControl control(b.pool, table_map(table));
    b.set("calls", "p_queue => 'q', p_units => 5, p_per => '1 hour'");
    b.insert(12);
    const std::string other = b.value("INSERT INTO {t} ({type}, queue) VALUES ('other', 'q') RETURNING id");
    const NodeIdentity node = b.node();
    b.exec("SELECT rowcrew.pause('type', 't')");
    const Took took = b.take(node, 10);
    REQUIRE(took.jobs.size() == 5);
    const std::int64_t token = took.jobs.front().job.claim_token;
    b.await(control.hold(ids_of(took.jobs), std::vector<std::int64_t>(5, token), {token}));
    CHECK(b.number("SELECT sum(units) FROM rowcrew.limit_start") == 0);
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE key = 'type:t'") == 12);
    const Took next = b.take(node, 10);
    REQUIRE(next.jobs.size() == 1);
    CHECK(next.jobs.front().job.id == other);
    b.exec("SELECT rowcrew.resume('type', 't')");
    CHECK(b.await(control.release("type:t", 100)) == 12);
    CHECK(b.take(node, 10).jobs.size() == 4);
  }
}

TEST_CASE("rates: a job that no handler here serves costs nothing, whatever it weighs, but once started it does") {
  for (const char* more : {"", ", p_burst => 10"}) {
    CAPTURE(more);
    LimitsBench b;
    b.insert_one("payload", R"('{"tokens": 3}')");
    b.set("tokens", std::string("p_queue => 'q', p_units => 10, p_per => '1 hour', p_weight => 'payload.tokens'") + more);
    b.insert_one("payload", R"('{"tokens": 4}')");
    b.insert_one("payload", R"('{"tokens": 3}')");
    const NodeIdentity node = b.node();
    const Took took = b.take(node, 10);
    REQUIRE(took.jobs.size() == 3);
    std::vector<Job> unserved;
    for (const ClaimedJob& job : took.jobs) {
      if (job.job.payload.find('4') != std::string::npos) unserved.push_back(job.job);
    }
    REQUIRE(unserved.size() == 1);
    b.await(b.jobs.park_unserved(unserved, {}, 1h));
    b.insert(1, "payload", R"('{"tokens": 5}')");
    CHECK(b.take(node, 10).jobs.empty());  // four came back
    b.exec("DELETE FROM {limited}");
    b.insert(1, "payload", R"('{"tokens": 3}')");  // a bucket has kept a little less than four
    CHECK(b.take(node, 10).jobs.size() == 1);
    b.insert(1, "payload", R"('{"tokens": 2}')");
    CHECK(b.take(node, 10).jobs.empty());
  }
}

TEST_CASE("rates: what comes back to a bucket that was filled meanwhile does not come twice") {
  LimitsBench b;
  b.set("bucket", "p_queue => 'q', p_units => 1, p_per => '1 s', p_burst => 10");
  b.insert(30);
  const NodeIdentity node = b.node();
  const Took took = b.take(node, 4);
  REQUIRE(took.jobs.size() == 4);
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
  b.await(b.jobs.park_unserved({took.jobs[0].job, took.jobs[1].job}, {}, 1h));
  CHECK(b.take(node, 30).jobs.size() == 10);
  CHECK(b.take(node, 30).jobs.empty());
}

TEST_CASE("rates: a clock that was set back keeps no key without room until it comes there again") {
  for (const char* more : {"", ", p_burst => 5"}) {
    CAPTURE(more);
    LimitsBench b;
    b.set("rate", std::string("p_queue => 'q', p_units => 5, p_per => '1 s'") + more);
    b.insert(20);
    const NodeIdentity node = b.node();
    b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
    CHECK(b.take(node, 20).jobs.size() == 5);
    b.ddl("SELECT rowcrew.set_clock_offset('0')");
    const Took none = b.take(node, 20);
    CHECK(none.jobs.size() <= 1);
    REQUIRE(none.answer.look);
    CHECK(*none.answer.look <= 1001ms);
    b.ddl("SELECT rowcrew.set_clock_offset('1100 ms')");
    CHECK(b.take(node, 20).jobs.size() >= 4);
  }
}
