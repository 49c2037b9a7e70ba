// Claimed jobs that wait on this node for a slot, per queue, first come first served. Event thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>

#include "base/wide_deque.hpp"
#include "queue/job_batch.hpp"

namespace rowcrew {

struct LocalJob {
  std::size_t table = 0;
  ClaimedJob claimed;
  Mono since{};
};

class LocalJobs {
 public:
  void push(LocalJob job) { queues_[job.claimed.job.queue].push_back(std::move(job)); }
  std::size_t size(std::string_view queue) const;
  std::size_t size() const;
  /// The queue must not be empty.
  LocalJob pop(std::string_view queue);
  /// Those that have waited since before `when`, taken out.
  std::vector<LocalJob> older_than(Mono when);
  std::vector<LocalJob> take_all() { return older_than(Mono::max()); }
  std::vector<LocalJob> take_all(std::string_view queue);
  std::vector<Job> jobs_of(std::size_t table) const;
  /// False: it is not here (any more).
  bool drop(std::size_t table, std::int64_t token, std::string_view id);
  /// Under this claim, or (none named) under any.
  std::optional<LocalJob> take(std::size_t table, std::string_view id, std::optional<std::int64_t> token = std::nullopt);

 private:
  std::map<std::string, WideDeque<LocalJob>, std::less<>> queues_;
};

}  // namespace rowcrew
