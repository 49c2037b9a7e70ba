#include "runtime/running_jobs.hpp"

#include <algorithm>

namespace rowcrew {

/// What a signal keeps holds its job.
RunningJobs::~RunningJobs() {
  for (const Ref& running : jobs_) running->signal.slot().clear();
}

void RunningJobs::add(const Ref& running) {
  running->at = jobs_.size();
  jobs_.push_back(running);
}

void RunningJobs::remove(const RunningJob& running) {
  const std::size_t at = running.at;
  if (at >= jobs_.size() || jobs_[at].get() != &running) return;
  if (at + 1 < jobs_.size()) {
    jobs_[at] = std::move(jobs_.back());
    jobs_[at]->at = at;
  }
  jobs_.pop_back();
}

RunningJobs::Ref RunningJobs::find(std::size_t table, const std::string& id) const {
  // The latest of them: an older claim's may still be ending.
  const auto at = std::find_if(jobs_.rbegin(), jobs_.rend(), [&](const Ref& running) {
    return running->table == table && running->job.id == id && running->reason != StopReason::claim_lost;
  });
  return at != jobs_.rend() ? *at : nullptr;
}

void RunningJobs::stop(RunningJob& running, StopReason reason) {
  if (running.reason != StopReason::none) return;
  running.reason = reason;
  running.signal.emit(boost::asio::cancellation_type::terminal);
}

void RunningJobs::stop_all(StopReason reason) {
  const std::vector<Ref> all = jobs_;  // a handler may end, and be removed, while we walk
  for (const Ref& running : all) stop(*running, reason);
}

/// The same job may run here under another claim as well.
RunningJobs::Ref RunningJobs::find(std::size_t table, std::int64_t token, std::string_view id) const {
  const auto at = std::find_if(jobs_.begin(), jobs_.end(), [&](const Ref& running) {
    return running->table == table && running->job.claim_token == token && running->job.id == id;
  });
  return at != jobs_.end() ? *at : nullptr;
}

void RunningJobs::stop_one(std::size_t table, std::int64_t token, std::string_view id, StopReason reason) {
  const Ref running = find(table, token, id);
  if (running) stop(*running, reason);
}

std::vector<Job> RunningJobs::jobs_of(std::size_t table) const {
  std::vector<Job> jobs;
  for (const Ref& running : jobs_) {
    if (running->table == table) jobs.push_back(running->job);
  }
  return jobs;
}

}  // namespace rowcrew
