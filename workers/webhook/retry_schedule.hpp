// How long a failed delivery waits before the next attempt: pure.
#pragma once

#include <chrono>
#include <vector>

#include <rowcrew/settings.hpp>

namespace rowcrew::webhook {

/// Fixed waits with a jitter of a tenth up and down, so that deliveries that failed together do not
/// come back together.
class RetrySchedule {
 public:
  /// That of Standard Webhooks behind its first attempt, which is made at once: 5 s, 5 min, 30 min,
  /// 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
  RetrySchedule();
  /// Reads `retry_schedule` of kinds.webhook: 1 to 100 durations from 0s to 7d. Throws ConfigError.
  explicit RetrySchedule(const Settings& webhook);

  /// `attempt` counts from 1: the execution that has just failed; behind the end of the list its
  /// last wait holds. `unit` is uniform in [0, 1).
  std::chrono::milliseconds wait(int attempt, double unit) const;

 private:
  std::vector<std::chrono::milliseconds> waits_;  ///< not empty
};

}  // namespace rowcrew::webhook
