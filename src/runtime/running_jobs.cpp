#include "runtime/running_jobs.hpp"

namespace rowcrew {

void RunningJobs::add(const Ref& running) { jobs_[{running->table, running->job.id}] = running; }

void RunningJobs::remove(const RunningJob& running) {
  const auto at = jobs_.find({running.table, running.job.id});
  // The same job may run here again already, under another claim.
  if (at != jobs_.end() && at->second.get() == &running) jobs_.erase(at);
}

RunningJobs::Ref RunningJobs::find(const RunningJob& running) const {
  const auto at = jobs_.find({running.table, running.job.id});
  return at != jobs_.end() && at->second.get() == &running ? at->second : nullptr;
}

RunningJobs::Ref RunningJobs::find(std::size_t table, const std::string& id) const {
  const auto at = jobs_.find({table, id});
  return at != jobs_.end() ? at->second : nullptr;
}

void RunningJobs::stop(RunningJob& running, StopReason reason) {
  if (running.reason != StopReason::none) return;
  running.reason = reason;
  running.signal.emit(boost::asio::cancellation_type::terminal);
}

void RunningJobs::stop_all(StopReason reason) {
  std::vector<Ref> all;  // a handler may end, and be removed, while we walk
  for (const auto& [key, running] : jobs_) all.push_back(running);
  for (const Ref& running : all) stop(*running, reason);
}

void RunningJobs::stop_one(std::size_t table, const std::string& id, StopReason reason) {
  const auto at = jobs_.find({table, id});
  if (at == jobs_.end()) return;
  const Ref running = at->second;
  stop(*running, reason);
}

std::vector<Job> RunningJobs::jobs_of(std::size_t table) const {
  std::vector<Job> jobs;
  for (const auto& [key, running] : jobs_) {
    if (key.first == table) jobs.push_back(running->job);
  }
  return jobs;
}

}  // namespace rowcrew
