// How long a failed execution waits before the next, and whether there is a next: pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

/// What an error code means, whatever the handler says.
struct RetryRule {
  bool permanent = false;
  std::vector<std::chrono::milliseconds> delays;  ///< empty: those of the policy
};
using RetryRules = std::map<std::string, RetryRule, std::less<>>;

/// Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter",
/// 2015): uniform in [0, min(cap, base * 2^(attempt-1))]. Jitter spreads the herd that a broken
/// dependency leaves behind. Or a fixed table, of which the last delay stays.
struct RetryPolicy {
  std::chrono::milliseconds base{5'000};
  std::chrono::milliseconds cap{3'600'000};
  std::vector<std::chrono::milliseconds> delays{};
  std::shared_ptr<const RetryRules> rules{};
  /// How long from now on an execution may still begin; unset: for ever.
  std::optional<std::chrono::milliseconds> left{};

  const RetryRule* rule(std::string_view code) const {
    if (!rules) return nullptr;
    const auto at = rules->find(code);
    return at == rules->end() ? nullptr : &at->second;
  }

  /// `attempt` counts from 1: the execution that has just failed. `unit` is uniform in [0, 1).
  std::chrono::milliseconds delay(int attempt, double unit, std::string_view code = {}) const {
    const RetryRule* of_code = rule(code);
    const auto& table = of_code != nullptr && !of_code->delays.empty() ? of_code->delays : delays;
    if (!table.empty()) return table[std::min<std::size_t>(static_cast<std::size_t>(std::max(attempt, 1)) - 1, table.size() - 1)];
    const int doublings = std::clamp(attempt, 1, 41) - 1;
    const double ceiling = std::min(static_cast<double>(cap.count()),
                                    static_cast<double>(base.count()) * static_cast<double>(1LL << doublings));
    return std::chrono::milliseconds(static_cast<std::int64_t>(ceiling * unit));
  }
};

}  // namespace rowcrew
