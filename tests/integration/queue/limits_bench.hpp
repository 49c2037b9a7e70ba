// A bench whose nodes claim jobs that rules about limits are about, by exchange as real ones do.
#pragma once

#include "base/system_clock.hpp"
#include "pg/lane.hpp"
#include "queue_bench.hpp"

namespace rowcrew::testing {

struct Took {
  std::vector<ClaimedJob> jobs;
  LimitedAnswer answer;
};

struct LimitsBench : QueueBench {
  explicit LimitsBench(const std::string& of = "job_queue") : QueueBench(of), wire(std::make_unique<PoolWire>(pool)) {}

  /// `arguments` as in SQL: "p_queue => 'q', p_running => 2".
  std::int64_t set(const std::string& name, const std::string& arguments) {
    return number("SELECT rowcrew.limit_set('" + name + "', " + arguments + ")");
  }
  /// Claims from queue "q"; the jobs of `ended` end in the same transaction as completed.
  Took take(NodeIdentity by, std::size_t count, const std::vector<ClaimedJob>& done = {}, bool walk = true, const std::string& cursor = "") {
    const std::vector<EndedJob> ends = ended(done, Completed());
    Exchange what;
    for (const EndedJob& end : ends) {
      what.completed.push_back(&end);
      what.handed.push_back(end.job.claim_token);
    }
    what.node = by;
    what.limited = {LimitedWant{"q", count, cursor, walk}};
    for (std::size_t i = 0; i < count; ++i) what.limited_tokens.push_back(new_token());
    Exchanged got = await(jobs.exchange(*wire, std::move(what)));
    Took took;
    took.jobs = std::move(got.limited);
    if (!got.answers.empty()) took.answer = got.answers.front();
    return took;
  }
  /// Permits out, as the keys say.
  std::int64_t out(const std::string& key) {
    return number("SELECT coalesce((SELECT held FROM rowcrew.limit_key WHERE key = $1), 0)"
                  " - (SELECT count(*) FROM rowcrew.limit_freed WHERE key = $1)",
                  Params{}.add(key));
  }

  std::unique_ptr<Wire> wire;
};

}  // namespace rowcrew::testing
