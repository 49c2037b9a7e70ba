#include "runtime/job_types.hpp"

#include <charconv>

namespace rowcrew {
namespace {

using Ms = std::chrono::milliseconds;

/// "100,2000" as array_to_string() writes it.
std::vector<Ms> delays_of(std::string_view list) {
  std::vector<Ms> delays;
  while (!list.empty()) {
    std::int64_t ms = 0;
    const auto comma = std::min(list.find(','), list.size());
    std::from_chars(list.data(), list.data() + comma, ms);
    delays.emplace_back(ms);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return delays;
}

std::optional<Ms> span_of(const Rows& rows, std::size_t row, std::size_t column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return Ms(rows.integer(row, column));
}

}  // namespace

Ms JobTypePolicy::timeout_at(Ms age) const {
  return total ? std::clamp(*total - age, Ms(0), timeout) : timeout;
}

std::optional<Ms> JobTypePolicy::retry_left_at(Ms age) const {
  if (!retry_for && !total) return std::nullopt;
  return std::min(retry_for.value_or(Ms::max()), total.value_or(Ms::max())) - age;
}

JobTypePolicy JobTypes::policy(std::string_view job_type) const {
  const auto at = policies_.find(job_type);
  if (at != policies_.end()) return at->second;
  JobTypePolicy policy;
  policy.retry.rules = rules_of_all_;
  return policy;
}

bool JobTypes::needs_age(std::string_view job_type) const {
  if (!some_need_age_) return false;
  const auto at = policies_.find(job_type);
  return at != policies_.end() && at->second.needs_age();
}

void JobTypes::load(const Rows& types, const Rows& rules) {
  policies_.clear();
  results_expire_ = false;
  some_need_age_ = false;
  for (std::size_t i = 0; i < types.size(); ++i) {
    JobTypePolicy policy;
    policy.timeout = Ms(types.integer(i, 1));
    policy.retry.base = Ms(types.integer(i, 2));
    policy.retry.cap = Ms(types.integer(i, 3));
    policy.retry.delays = delays_of(types.text(i, 4));
    policy.retry_for = span_of(types, i, 5);
    policy.start_within = span_of(types, i, 6);
    policy.total = span_of(types, i, 7);
    policy.max_result = static_cast<std::size_t>(types.integer(i, 8));
    results_expire_ = results_expire_ || !types.is_null(i, 9);
    some_need_age_ = some_need_age_ || policy.needs_age();
    policies_.emplace(types.text(i, 0), std::move(policy));
  }
  RetryRules of_all;
  std::map<std::string, RetryRules, std::less<>> of_types;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string type(rules.text(i, 0));
    RetryRule rule;
    rule.permanent = rules.boolean(i, 2);
    rule.delays = delays_of(rules.text(i, 3));
    (type == "*" ? of_all : of_types[type]).emplace(rules.text(i, 1), std::move(rule));
  }
  rules_of_all_ = of_all.empty() ? nullptr : std::make_shared<const RetryRules>(of_all);
  for (auto& [type, own] : of_types) {
    own.insert(of_all.begin(), of_all.end());  // what the type does not say itself
    policies_[type].retry.rules = std::make_shared<const RetryRules>(std::move(own));
  }
  for (auto& [type, policy] : policies_) {
    if (!policy.retry.rules) policy.retry.rules = rules_of_all_;
  }
}

}  // namespace rowcrew
