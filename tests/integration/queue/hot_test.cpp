// The usual life of a job updates it twice, and both updates find room on its page: the indexes of the
// job table are not written again, and nothing of it need be vacuumed but by the page.
#include "queue_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("hot: of the updates of claim and completion more than 95 in 100 write no index") {
  struct Row {
    const char* table;
    const char* columns;
    const char* values;
  };
  const Row rows[] = {
      {"job_queue", "payload", "jsonb_build_object('to', 'user' || n || '@example.com', 'template', 'welcome', 'name', 'Ann')"},
      {"processing_jobs", "provider, external_id, prompt, inputs",
       "'bench', md5(n::text), repeat('a cat in the rain ', 4), '{\"width\": 1024, \"height\": 1024}'"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.table);
    // One thread, whose counts are asked for in its own session.
    QueueBench b(row.table, 1, QueueBench::Database::fresh);
    const NodeIdentity node = b.node();
    for (int i = 0; i < 20; ++i) b.insert(200, row.columns, row.values);
    std::size_t completed = 0;
    for (auto jobs = b.claim(node, 100); !jobs.empty(); jobs = b.claim(node, 100)) completed += b.complete(jobs).size();
    REQUIRE(completed == 4'000);
    b.exec("SELECT pg_stat_force_next_flush()");
    const Rows counts = b.query("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_all_tables WHERE relid = '{t}'::regclass");
    const auto updates = counts.integer(0, 0);
    const auto hot = counts.integer(0, 1);
    CAPTURE(hot);
    CHECK(updates == 8'000);
    CHECK(hot * 100 > updates * 95);
  }
}
