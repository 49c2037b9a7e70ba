// What an answer costs while the tables hold a million jobs.
#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>

#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr long kMost = 50;

struct Cost {
  std::string reason;
  std::int64_t before = 0;
  long buffers = 0;
};

/// Of a call in a session that has called it before: what is read once per connection, catalogs and
/// the function's own source, is no matter of the tables' size.
Cost cost_of(QueueBench& b, const std::string& id) {
  const std::string call = "SELECT answer FROM rowcrew.why('" + id + "'::uuid)";
  const std::string explain = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) " + call;
  Cost cost;
  std::string plan;
  run_once(b.db.options(), TxMode::transaction, [&](Tx& tx) {
    const auto answer = nlohmann::json::parse(tx.exec(Statement{"why", call}).text(0, 0));
    cost.reason = answer.at("reason").get<std::string>();
    cost.before = answer.at("details").value("before", 0);
    const Rows rows = tx.exec(Statement{"explain", explain});
    for (std::size_t i = 0; i < rows.size(); ++i) plan += std::string(rows.text(i, 0)) + "\n";
  });
  static const std::regex kBuffers(R"(Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?)");
  std::smatch found;
  if (std::regex_search(plan, found, kBuffers)) {
    for (const int part : {1, 2}) cost.buffers += found[part].matched ? std::stol(found[part]) : 0;
  }
  CAPTURE(plan);
  CHECK(cost.buffers > 0);
  return cost;
}

}  // namespace

TEST_CASE("why: among a million jobs each answer touches at most fifty pages") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  b.node();
  const auto fill = [&](int hundred_thousands, const char* columns, const char* values) {
    for (int i = 0; i < hundred_thousands; ++i) {
      b.ddl(std::string("INSERT INTO rowcrew.job_queue (job_type, queue") + columns + ") SELECT 't', 'q'" + values + " FROM generate_series(1, 100000)");
    }
  };
  fill(6, "", "");
  fill(2, ", scheduled_at", ", now() + interval '1 hour'");
  fill(2, ", status", ", 'completed'");
  const auto one = [&](const char* columns, const char* values) { return b.insert_one(columns, values); };
  const std::string middle = b.value("SELECT id FROM {t} ORDER BY id OFFSET 319999 LIMIT 1");
  const std::string last = one("priority", "9");
  const std::string first = one("priority", "0");
  const std::string later = one("scheduled_at", "now() + interval '1 hour'");
  const std::string retried = one("status, attempts, error_code, scheduled_at", "'retrying', 1, 'x', now() + interval '1 hour'");
  const std::string suspect = one("crashes", "2");
  const std::string failed = one("status, error_code", "'failed', 'x'");
  const std::string poison = one("status, error_code", "'failed', 'poison'");
  const std::string cancelled = one("status", "'cancelled'");
  const std::string held = one("tenant", "'acme'");
  const std::string running = one("status, claim_token, worker_id, started_at", "'processing', 5, (SELECT node_id FROM rowcrew.node), now()");
  const std::string lost = one("status, claim_token, worker_id, started_at", "'processing', 5, 99, now()");
  const std::string elsewhere = b.value("UPDATE {t} SET queue = 'other' WHERE id = $1::uuid RETURNING id", Params{}.add(one("", "")));
  const std::string doomed = one("status, claim_token, worker_id, started_at", "'processing', 5, (SELECT node_id FROM rowcrew.node), now()");
  b.value("SELECT rowcrew.cancel($1::uuid)", Params{}.add(doomed));
  b.exec("SELECT rowcrew.pause('tenant', 'acme')");
  const std::string done = b.value("SELECT id FROM {t} WHERE status = 'completed' LIMIT 1");

  const std::pair<const char*, std::string> expected[] = {
      {"no_slot", middle}, {"no_slot", last},        {"no_slot", first},         {"scheduled", later}, {"backoff", retried},
      {"suspect", suspect}, {"failed", failed},      {"poison", poison},         {"cancelled", cancelled}, {"paused", held},
      {"running", running}, {"node_lost", lost},     {"queue_unserved", elsewhere}, {"cancel_requested", doomed}, {"completed", done},
      {"unknown", "00000000-0000-7000-8000-000000000001"}};
  for (const bool analysed : {false, true}) {
    if (analysed) b.ddl("ANALYZE rowcrew.job_queue, rowcrew.job_queue_ready, rowcrew.job_queue_parked");
    long most = 0;
    for (const auto& [reason, id] : expected) {
      const Cost cost = cost_of(b, id);
      CAPTURE(analysed);
      CAPTURE(reason);
      CHECK(cost.reason == reason);
      CHECK(cost.buffers <= kMost);
      most = std::max(most, cost.buffers);
    }
    MESSAGE("most pages of an answer: " << most);
  }
  // "About": within a fifth of the truth where statistics are fresh, and exact where few are before it. A
  // statement files its hints when it ends, so a job sees none of its own hundred thousand before it.
  const std::int64_t before_middle = cost_of(b, middle).before;
  CHECK(before_middle > 256'000);
  CHECK(before_middle < 384'000);
  CHECK(cost_of(b, last).before > 480'000);
  CHECK(cost_of(b, first).before == 0);

  // And a pause of their queue is a row, not a million.
  const std::string ready = "SELECT concat_ws(',', max(xmin::text::bigint), max(xmax::text::bigint), count(*)) FROM {ready}";
  const std::string before = b.value(ready);
  const auto began = std::chrono::steady_clock::now();
  b.exec("SELECT rowcrew.pause('queue', 'q')");
  b.exec("SELECT rowcrew.resume('queue', 'q')");
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
  CHECK(b.value(ready) == before);
}

TEST_CASE("why: no node, and a type that nobody has a handler for, cost as little among many jobs") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  b.ddl("INSERT INTO rowcrew.job_queue (job_type, queue) SELECT 't', 'q' FROM generate_series(1, 50000)");
  const std::string id = b.insert_one();
  const Cost nobody = cost_of(b, id);
  CHECK(nobody.reason == "no_node");
  CHECK(nobody.buffers <= kMost);
  b.node();
  b.exec("UPDATE rowcrew.node SET job_types = '{other}'");
  const Cost unable = cost_of(b, id);
  CHECK(unable.reason == "type_unserved");
  CHECK(unable.buffers <= kMost);
}
