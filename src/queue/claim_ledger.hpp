// What this node believes that it holds: tokens, and how many jobs of each have not ended yet.
// Pure. A claim row in the database that is not in here is an orphan (its reply was lost) and is
// handed back by reconciliation; a token that has nothing outstanding is due for removal.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "queue/job_batch.hpp"

namespace rowcrew {

class ClaimLedger {
 public:
  /// Before the claim is sent: from here on reconciliation leaves the token alone.
  void sending(std::int64_t token) { sending_.insert(token); }
  /// The claim's reply: it holds `jobs` jobs. With none the claim row is due for removal (it may
  /// hold stale ids).
  void claimed(std::int64_t token, std::size_t jobs);
  /// As claimed(), of jobs that hold permits: their row says how many of them run.
  void claimed_with_permits(std::int64_t token, std::size_t jobs) {
    claimed(token, jobs);
    said_[token] = jobs;
  }
  bool has_permits(std::int64_t token) const { return said_.contains(token); }
  bool any_permits() const { return !said_.empty(); }
  /// Rows that say too much, with `jobs` (token, how many of it) ending now: what they are to say. Not of
  /// those that end with them. Sorted.
  std::vector<StillRunning> to_lower(const std::map<std::int64_t, std::size_t>& jobs) const;
  /// The database acknowledged it.
  void lowered(const std::vector<StillRunning>& rows);
  /// The claim's reply: nothing was claimed under this token.
  void unused(std::int64_t token) { sending_.erase(token); }
  /// No reply, or a refusal: if a row exists after all, reconciliation hands it back.
  void unknown(std::int64_t token) {
    sending_.erase(token);
    ++forgotten_;
  }

  /// Which of these tokens end with `jobs` (token, how many of it): to be removed in the same
  /// statement. Sorted.
  std::vector<std::int64_t> ending_with(const std::map<std::int64_t, std::size_t>& jobs) const;
  /// The database acknowledged (or refused) the end of `jobs` jobs of a token.
  void ended(std::int64_t token, std::size_t jobs, bool row_removed);
  /// The node gives all of it up (lease over): reconciliation or the reaper does the rest.
  void abandon();

  bool knows(std::int64_t token) const { return sending_.contains(token) || held_.contains(token); }
  /// Tokens whose jobs have all ended while their row is still there.
  std::vector<std::int64_t> removable() const { return {removable_.begin(), removable_.end()}; }
  void removed(std::int64_t token) { removable_.erase(token); }
  std::size_t held() const { return held_.size(); }
  /// How often tokens were forgotten: those of claims without a reply, and what was given up. Only these can have rows
  /// that are not in here, and may get one late: a claim may commit after its reply was lost.
  std::uint64_t forgotten() const { return forgotten_; }

 private:
  std::set<std::int64_t> sending_;
  std::uint64_t forgotten_ = 0;
  std::map<std::int64_t, std::size_t> held_;
  std::set<std::int64_t> removable_;
  std::map<std::int64_t, std::size_t> said_;  ///< by the rows of those that are held with permits
};

}  // namespace rowcrew
