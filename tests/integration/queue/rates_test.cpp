// Rates, on a clock that the test moves. ROWCREW_RATE_SECONDS chooses a longer run.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "limits_bench.hpp"

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
