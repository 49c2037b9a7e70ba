// Policies of job types, as the tables rowcrew.job_type and rowcrew.retry_rule say; reread now and then.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>

#include "queue/retry_policy.hpp"

namespace rowcrew {

struct JobTypePolicy {
  using Ms = std::chrono::milliseconds;
  Ms timeout{600'000};
  RetryPolicy retry;
  std::optional<Ms> retry_for;     ///< since the job's creation
  std::optional<Ms> start_within;  ///< since it was due
  std::optional<Ms> total;         ///< since its creation
  std::size_t max_result = std::size_t{1} << 20;  ///< bytes

  bool needs_age() const { return retry_for || start_within || total; }
  /// What is left of a job this old: for an execution (never negative), and until the last retry.
  Ms timeout_at(Ms age) const;
  std::optional<Ms> retry_left_at(Ms age) const;
};

class JobTypes {
 public:
  /// The defaults of the table's columns for a type without a row.
  JobTypePolicy policy(std::string_view job_type) const;
  /// Whether a job's age matters to its policy. Cheap: asked for every claimed job.
  bool needs_age(std::string_view job_type) const;
  /// `types` of node/job_types, `rules` of node/retry_rules.
  void load(const Rows& types, const Rows& rules);
  /// Whether results of some type are to be removed some day.
  bool results_expire() const { return results_expire_; }

 private:
  std::map<std::string, JobTypePolicy, std::less<>> policies_;
  std::shared_ptr<const RetryRules> rules_of_all_;
  bool results_expire_ = false;
  bool some_need_age_ = false;
};

}  // namespace rowcrew
