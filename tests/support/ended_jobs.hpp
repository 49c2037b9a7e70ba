// Jobs as a node has them when their handlers have returned.
#pragma once

#include <vector>

#include "queue/job_batch.hpp"
#include "queue/transition.hpp"

namespace rowcrew::testing {

inline std::vector<EndedJob> ended(const std::vector<ClaimedJob>& claimed, const Outcome& outcome) {
  std::vector<EndedJob> out;
  for (const ClaimedJob& job : claimed) {
    EndedJob one;
    one.job = job.job;
    one.ending = decide(job.job, outcome, RetryPolicy{}, 0.5);
    one.duration_ms = 12;
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace rowcrew::testing
