#include "runtime/local_jobs.hpp"

#include <algorithm>
#include <utility>

namespace rowcrew {

std::size_t LocalJobs::size(std::string_view queue) const {
  const auto at = queues_.find(queue);
  return at == queues_.end() ? 0 : at->second.size();
}

std::size_t LocalJobs::size() const {
  std::size_t n = 0;
  for (const auto& [queue, jobs] : queues_) n += jobs.size();
  return n;
}

LocalJob LocalJobs::pop(std::string_view queue) {
  auto& jobs = queues_.find(queue)->second;
  LocalJob job = std::move(jobs.front());
  jobs.pop_front();
  return job;
}

std::vector<LocalJob> LocalJobs::older_than(Mono when) {
  std::vector<LocalJob> old;
  for (auto& [queue, jobs] : queues_) {
    while (!jobs.empty() && jobs.front().since < when) {
      old.push_back(std::move(jobs.front()));
      jobs.pop_front();
    }
  }
  return old;
}

std::vector<LocalJob> LocalJobs::take_all(std::string_view queue) {
  std::vector<LocalJob> all;
  const auto at = queues_.find(queue);
  if (at == queues_.end()) return all;
  for (LocalJob& job : at->second) all.push_back(std::move(job));
  at->second.clear();
  return all;
}

std::vector<Job> LocalJobs::jobs_of(std::size_t table) const {
  std::vector<Job> all;
  for (const auto& [queue, jobs] : queues_) {
    for (const LocalJob& job : jobs) {
      if (job.table == table) all.push_back(job.claimed.job);
    }
  }
  return all;
}

bool LocalJobs::drop(std::size_t table, std::int64_t token, std::string_view id) {
  return take(table, id, token).has_value();
}

std::optional<LocalJob> LocalJobs::take(std::size_t table, std::string_view id, std::optional<std::int64_t> token) {
  for (auto& [queue, jobs] : queues_) {
    const auto at = std::find_if(jobs.begin(), jobs.end(), [&](const LocalJob& job) {
      return job.table == table && job.claimed.job.id == id && (!token || job.claimed.job.claim_token == *token);
    });
    if (at == jobs.end()) continue;
    LocalJob taken = std::move(*at);
    jobs.erase(at);
    return taken;
  }
  return std::nullopt;
}

}  // namespace rowcrew
