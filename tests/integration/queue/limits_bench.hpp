// A bench whose nodes claim jobs that rules about limits are about, by exchange as real ones do.
#pragma once

#include "base/system_clock.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "support/permit_exchange.hpp"

namespace rowcrew::testing {

struct LimitsBench : QueueBench {
  explicit LimitsBench(const std::string& of = "job_queue", unsigned threads = 2)
      : QueueBench(of, threads), permits(io, pool, [this] { return new_token(); }) {}

  /// `arguments` as in SQL: "p_queue => 'q', p_running => 2".
  std::int64_t set(const std::string& name, const std::string& arguments) {
    return number("SELECT rowcrew.limit_set('" + name + "', " + arguments + ")");
  }
  /// Claims from queue "q"; the jobs of `done` end in the same transaction as completed. `slots`: of `count`, null: all.
  Took take(NodeIdentity by, std::size_t count, const std::vector<ClaimedJob>& done = {}, bool walk = true, const std::string& cursor = "",
            std::optional<std::size_t> slots = std::nullopt) {
    return permits.take(jobs, {by, "q", count, walk, cursor, slots}, ended(done, Completed()));
  }
  void note(const std::vector<ClaimedJob>& claimed) { permits.note(claimed); }
  /// Ends them with nothing claimed in the same transaction.
  void end_alone(const std::vector<ClaimedJob>& done, const Outcome& outcome) {
    const std::int64_t node_id = number("SELECT coalesce((SELECT node_id FROM {claim} WHERE token = $1), 0)", Params{}.add(done.front().job.claim_token));
    permits.end_alone(jobs, node_id, ended(done, outcome));
  }
  /// Walks over all keys, as a node does; returns how many had permits that did not add up.
  std::int64_t forget_keys() {
    std::int64_t wrong = 0;
    std::optional<std::string> next;
    do {
      const Rows page = run(sql::node_forget_keys, Params{}.add(next));
      wrong += page.integer(0, 0);
      next.reset();
      if (!page.is_null(0, 1)) next.emplace(page.text(0, 1));
    } while (next);
    return wrong;
  }
  std::int64_t out(const std::string& key) { return number(kPermitsOut, Params{}.add(key)); }

  PermitExchange permits;
};

}  // namespace rowcrew::testing
