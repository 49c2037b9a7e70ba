// What a node does with jobs that rules about limits are about: ends and claims in one exchange, and a ledger of what it holds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pg/lane.hpp"
#include "pg/pool.hpp"
#include "queue/claim_ledger.hpp"
#include "queue/job_table.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

struct Took {
  std::vector<ClaimedJob> jobs;
  LimitedAnswer answer;
  std::vector<Unclaimable> unclaimable;
};

struct TakeWant {
  NodeIdentity by;
  std::string queue;
  std::size_t count = 1;
  bool walk = true;
  std::string cursor;
  std::optional<std::size_t> slots;  ///< of `count`; null: all
};

/// Permits out of key $1, as the keys say.
inline constexpr const char* kPermitsOut =
    "SELECT coalesce((SELECT held FROM rowcrew.limit_key WHERE key = $1), 0)"
    " - (SELECT coalesce(sum(n), 0) FROM rowcrew.limit_freed WHERE key = $1)";

class PermitExchange {
 public:
  PermitExchange(boost::asio::io_context& io, Pool& pool, std::function<std::int64_t()> new_token)
      : io_(io), wire_(std::make_unique<PoolWire>(pool)), new_token_(std::move(new_token)) {}

  /// Claims; `ends`, all completed or none of them, end in the same transaction.
  Took take(JobTable& jobs, const TakeWant& want, const std::vector<EndedJob>& ends) {
    Exchange what = ending(ends);
    what.handed = ledger.ending_with(tokens_of(ends));
    what.node = want.by;
    what.around = around;
    what.limited = {LimitedWant{want.queue, want.count, want.slots.value_or(want.count), want.cursor, want.walk ? 2u : 0u, true}};
    for (std::size_t i = 0; i < want.count; ++i) what.limited_tokens.push_back(new_token_());
    Exchanged got = exchange(jobs, std::move(what), ends);
    Took took;
    took.jobs = std::move(got.limited);
    note(took.jobs);
    if (!got.answers.empty()) took.answer = got.answers.front();
    took.unclaimable = std::move(got.unclaimable);
    return took;
  }
  /// Ends them with nothing claimed in the same transaction.
  void end_alone(JobTable& jobs, std::int64_t node_id, const std::vector<EndedJob>& ends) {
    Exchange what = ending(ends);
    (what.completed.empty() ? what.ended_drop : what.completed_drop) = ledger.ending_with(tokens_of(ends));
    what.node = {node_id, 0};
    exchange(jobs, std::move(what), ends);
  }
  /// As a node notes what it holds; all nodes share the ledger here.
  void note(const std::vector<ClaimedJob>& claimed) {
    std::map<std::int64_t, std::size_t> claims;
    for (const ClaimedJob& job : claimed) ++claims[job.job.claim_token];
    for (const auto& [token, of_it] : claims) ledger.claimed_with_permits(token, of_it);
  }

  bool around = false;  ///< see Exchange
  ClaimLedger ledger;

 private:
  static std::map<std::int64_t, std::size_t> tokens_of(const std::vector<EndedJob>& ends) {
    std::map<std::int64_t, std::size_t> tokens;
    for (const EndedJob& end : ends) ++tokens[end.job.claim_token];
    return tokens;
  }
  Exchange ending(const std::vector<EndedJob>& ends) const {
    Exchange what;
    for (const EndedJob& end : ends) (end.ending.kind == Ending::Kind::completed ? what.completed : what.ended).push_back(&end);
    what.lowered = ledger.to_lower(tokens_of(ends));
    return what;
  }
  Exchanged exchange(JobTable& jobs, Exchange what, const std::vector<EndedJob>& ends) {
    const std::vector<StillRunning> lowered = what.lowered;
    Exchanged got = testing::run(io_, jobs.exchange(*wire_, std::move(what)));
    ledger.lowered(lowered);
    for (const auto& [token, of_it] : tokens_of(ends)) ledger.ended(token, of_it, true);
    return got;
  }

  boost::asio::io_context& io_;
  std::unique_ptr<Wire> wire_;
  std::function<std::int64_t()> new_token_;
};

}  // namespace rowcrew::testing
