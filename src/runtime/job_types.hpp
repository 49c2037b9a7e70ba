// Policies of job types, as the table rowcrew.job_type says; reread now and then.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>

#include "queue/retry_policy.hpp"

namespace rowcrew {

struct JobTypePolicy {
  std::chrono::milliseconds timeout{600'000};
  RetryPolicy retry;
};

class JobTypes {
 public:
  /// The defaults of the table's columns for a type without a row.
  JobTypePolicy policy(std::string_view job_type) const;
  void load(const Rows& rows);  ///< of node/job_types

 private:
  std::map<std::string, JobTypePolicy, std::less<>> policies_;
};

}  // namespace rowcrew
