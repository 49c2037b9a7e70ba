// A bench whose nodes claim jobs that rules about limits are about, by exchange as real ones do.
#pragma once

#include "base/system_clock.hpp"
#include "pg/lane.hpp"
#include "queue/claim_ledger.hpp"
#include "queue_bench.hpp"

namespace rowcrew::testing {

struct Took {
  std::vector<ClaimedJob> jobs;
  LimitedAnswer answer;
};

struct LimitsBench : QueueBench {
  explicit LimitsBench(const std::string& of = "job_queue", unsigned threads = 2) : QueueBench(of, threads), wire(std::make_unique<PoolWire>(pool)) {}

  /// `arguments` as in SQL: "p_queue => 'q', p_running => 2".
  std::int64_t set(const std::string& name, const std::string& arguments) {
    return number("SELECT rowcrew.limit_set('" + name + "', " + arguments + ")");
  }
  /// Claims from queue "q"; the jobs of `done` end in the same transaction as completed. `slots`: of `count`, null: all.
  Took take(NodeIdentity by, std::size_t count, const std::vector<ClaimedJob>& done = {}, bool walk = true, const std::string& cursor = "",
            std::optional<std::size_t> slots = std::nullopt) {
    const std::vector<EndedJob> ends = ended(done, Completed());
    Exchange what;
    std::map<std::int64_t, std::size_t> ending;
    for (const EndedJob& end : ends) {
      what.completed.push_back(&end);
      ++ending[end.job.claim_token];
    }
    what.node = by;
    what.handed = ledger.ending_with(ending);
    what.lowered = ledger.to_lower(ending);
    what.around = around;
    what.limited = {LimitedWant{"q", count, slots.value_or(count), cursor, walk ? 2u : 0u, true}};
    for (std::size_t i = 0; i < count; ++i) what.limited_tokens.push_back(new_token());
    const std::vector<StillRunning> lowered = what.lowered;
    Exchanged got = await(jobs.exchange(*wire, std::move(what)));
    ledger.lowered(lowered);
    for (const auto& [token, jobs_of_it] : ending) ledger.ended(token, jobs_of_it, true);
    Took took;
    took.jobs = std::move(got.limited);
    note(took.jobs);
    if (!got.answers.empty()) took.answer = got.answers.front();
    return took;
  }
  /// As a node notes what it holds; all nodes share the ledger here.
  void note(const std::vector<ClaimedJob>& claimed) {
    std::map<std::int64_t, std::size_t> claims;
    for (const ClaimedJob& job : claimed) ++claims[job.job.claim_token];
    for (const auto& [token, of_it] : claims) ledger.claimed_with_permits(token, of_it);
  }
  /// Ends them with nothing claimed in the same transaction.
  void end_alone(const std::vector<ClaimedJob>& done, const Outcome& outcome) {
    const std::vector<EndedJob> ends = ended(done, outcome);
    Exchange what;
    std::map<std::int64_t, std::size_t> ending;
    for (const EndedJob& end : ends) {
      (end.ending.kind == Ending::Kind::completed ? what.completed : what.ended).push_back(&end);
      ++ending[end.job.claim_token];
    }
    (what.completed.empty() ? what.ended_drop : what.completed_drop) = ledger.ending_with(ending);
    what.lowered = ledger.to_lower(ending);
    what.node = {owner(done.front()), 0};
    const std::vector<StillRunning> lowered = what.lowered;
    await(jobs.exchange(*wire, std::move(what)));
    ledger.lowered(lowered);
    for (const auto& [token, of_it] : ending) ledger.ended(token, of_it, true);
  }
  std::int64_t owner(const ClaimedJob& job) {
    return number("SELECT coalesce((SELECT node_id FROM {claim} WHERE token = $1), 0)", Params{}.add(job.job.claim_token));
  }
  /// Permits out, as the keys say.
  std::int64_t out(const std::string& key) {
    return number("SELECT coalesce((SELECT held FROM rowcrew.limit_key WHERE key = $1), 0)"
                  " - (SELECT coalesce(sum(n), 0) FROM rowcrew.limit_freed WHERE key = $1)",
                  Params{}.add(key));
  }

  std::unique_ptr<Wire> wire;
  bool around = false;  ///< see Exchange
  ClaimLedger ledger;
};

}  // namespace rowcrew::testing
