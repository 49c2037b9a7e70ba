#include "queue/claim_ledger.hpp"

#include <algorithm>

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

std::vector<StillRunning> ClaimLedger::to_lower(const std::map<std::int64_t, std::size_t>& jobs) const {
  std::vector<StillRunning> rows;
  for (const auto& [token, said] : said_) {
    const auto ending = jobs.find(token);
    const std::size_t held = held_.at(token);
    const std::size_t left = held - std::min(held, ending == jobs.end() ? 0 : ending->second);
    if (left > 0 && left < said) rows.push_back({token, left});
  }
  return rows;
}

void ClaimLedger::lowered(const std::vector<StillRunning>& rows) {
  for (const auto& [token, jobs] : rows) {
    if (const auto at = said_.find(token); at != said_.end()) at->second = std::min(at->second, jobs);
  }
}

void ClaimLedger::ended(std::int64_t token, std::size_t jobs, bool row_removed) {
  const auto at = held_.find(token);
  if (at == held_.end()) return;
  if (at->second > jobs) {
    at->second -= jobs;
    return;
  }
  held_.erase(at);
  said_.erase(token);
  if (!row_removed) removable_.insert(token);
}

void ClaimLedger::abandon() {
  ++forgotten_;
  sending_.clear();
  held_.clear();
  said_.clear();
  removable_.clear();
}

}  // namespace rowcrew
