#include "queue/claim_ledger.hpp"

namespace rowcrew {

void ClaimLedger::claimed(std::int64_t token, std::size_t jobs) {
  sending_.erase(token);
  if (jobs > 0) {
    held_[token] = jobs;
  } else {
    removable_.insert(token);
  }
}

std::vector<std::int64_t> ClaimLedger::ending_with(const std::map<std::int64_t, std::size_t>& jobs) const {
  std::vector<std::int64_t> tokens;
  for (const auto& [token, count] : jobs) {
    const auto at = held_.find(token);
    if (at != held_.end() && at->second <= count) tokens.push_back(token);
  }
  return tokens;
}

void ClaimLedger::ended(std::int64_t token, std::size_t jobs, bool row_removed) {
  const auto at = held_.find(token);
  if (at == held_.end()) return;
  if (at->second > jobs) {
    at->second -= jobs;
    return;
  }
  held_.erase(at);
  with_permits_.erase(token);
  if (!row_removed) removable_.insert(token);
}

void ClaimLedger::abandon() {
  sending_.clear();
  held_.clear();
  with_permits_.clear();
  removable_.clear();
}

}  // namespace rowcrew
