#include "runtime/intake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/config.hpp"
#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

/// Why a job of this age must not start any more.
std::optional<Failed> verdict(const JobTypePolicy& policy, const JobAge& age) {
  if (policy.total && age.since_created >= *policy.total) {
    return Failed("total_deadline", fmt::format("is older than its job type allows (total_ms: {})", format_duration(*policy.total)));
  }
  if (policy.start_within && age.since_due > *policy.start_within) {
    return Failed("start_deadline", fmt::format("was due {} ago, its job type allows {} (start_within_ms)",
                                                format_duration(age.since_due), format_duration(*policy.start_within)));
  }
  return std::nullopt;
}

}  // namespace

Intake::Intake(NodeState& state, Completer& completer, Pauses& pauses, Through through)
    : state_(state), completer_(completer), pauses_(pauses), through_(std::move(through)), wake_(state.executor, state.clock) {}

bool Intake::takes(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob>& claimed) {
  const bool late = std::any_of(claimed.begin(), claimed.end(), [&](const ClaimedJob& job) {
    return state_.job_types.needs_age(job.job.job_type);
  });
  if (!late && !pauses_.may_hold()) return false;
  Claim claim;
  claim.table = table;
  claim.epoch = epoch;
  claim.jobs = std::move(claimed);
  for (const ClaimedJob& job : claim.jobs) ++claim.sizes[job.job.queue];
  for (const auto& [queue, jobs] : claim.sizes) sizes_[queue] += jobs;
  waiting_.push_back(std::move(claim));
  wake_.ring();
  return true;
}

std::size_t Intake::size(std::string_view queue) const {
  const auto at = sizes_.find(queue);
  return at == sizes_.end() ? 0 : at->second;
}

asio::awaitable<void> Intake::run() {
  for (;;) {
    if (waiting_.empty()) {
      co_await wake_.wait_until(state_.clock.mono() + std::chrono::hours(1));
      continue;
    }
    co_await pauses_.hold(waiting_.front().table, waiting_.front().jobs);
    co_await end_late(waiting_.front().table, waiting_.front().jobs);
    Claim claim = std::move(waiting_.front());
    waiting_.pop_front();
    for (const auto& [queue, jobs] : claim.sizes) sizes_.find(queue)->second -= jobs;
    through_(claim.table, claim.epoch, std::move(claim.jobs));
  }
}

asio::awaitable<void> Intake::end_late(std::size_t table, std::vector<ClaimedJob>& claimed) {
  std::vector<std::string> ids;
  for (const ClaimedJob& job : claimed) {
    if (state_.job_types.needs_age(job.job.job_type)) ids.push_back(job.job.id);
  }
  if (ids.empty()) co_return;
  std::vector<JobAge> ages;
  try {
    ages = co_await state_.tables[table]->control.ages(std::move(ids));
  } catch (const Error& e) {
    state_.log.debug(event::kClaimFailed, {{"code", e.code()}}, e.what());  // they start as if they were new
  }
  std::unordered_map<std::string, JobAge> by_id;
  for (JobAge& age : ages) by_id.emplace(age.id, age);
  std::vector<ClaimedJob> kept;
  for (ClaimedJob& job : claimed) {
    const auto age = by_id.find(job.job.id);
    if (age == by_id.end()) {
      kept.push_back(std::move(job));
      continue;
    }
    const JobTypePolicy policy = state_.job_types.policy(job.job.job_type);
    const std::optional<Failed> late = verdict(policy, age->second);
    if (!late) {
      job.age = age->second.since_created;
      kept.push_back(std::move(job));
      continue;
    }
    EndedJob ended;
    ended.ending = decide(job.job, *late, RetryPolicy{}, 0.0);
    ended.ending.counts = false;  // nothing of it was executed
    ended.job = std::move(job.job);
    ended.job.payload.clear();
    completer_.add(table, std::move(ended));
  }
  claimed = std::move(kept);
}

}  // namespace rowcrew
