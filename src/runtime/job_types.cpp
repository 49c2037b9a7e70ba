#include "runtime/job_types.hpp"

namespace rowcrew {

JobTypePolicy JobTypes::policy(std::string_view job_type) const {
  const auto at = policies_.find(job_type);
  return at == policies_.end() ? JobTypePolicy{} : at->second;
}

void JobTypes::load(const Rows& rows) {
  policies_.clear();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    JobTypePolicy policy;
    policy.timeout = std::chrono::milliseconds(rows.integer(i, 1));
    policy.retry.base = std::chrono::milliseconds(rows.integer(i, 2));
    policy.retry.cap = std::chrono::milliseconds(rows.integer(i, 3));
    policies_.emplace(rows.text(i, 0), policy);
  }
}

}  // namespace rowcrew
