// Jobs on their way between the database and the runtime, in batches: values only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/job.hpp>

#include "queue/transition.hpp"

namespace rowcrew {

/// Which node claims; stands in every claim row.
struct NodeIdentity {
  std::int64_t node_id = 0;
  std::int64_t epoch = 0;
};

struct ClaimedJob {
  Job job;
  int priority = 0;
  std::int64_t hint_run_at_us = 0;  ///< of its ready hint, database clock
  std::chrono::milliseconds age{0};  ///< since its creation, where its type's policy asks for it
  bool limited = false;  ///< holds permits
  bool payload_left = false;  ///< too large for the claim to carry: see JobTable::payload()
};

/// How many jobs of a queue to claim, from which marks on (ten, see Watermarks).
struct ClaimWant {
  std::string queue;
  std::size_t count = 0;
  std::vector<std::string> marks;
  bool sweep = false;   ///< without marks
  bool beside = false;  ///< a few, only to notice them: not counted among those that come
  std::size_t coming() const { return beside ? 0 : count; }
};

/// Of jobs that rules about limits are about.
struct LimitedWant {
  std::string queue;
  std::size_t count = 0;
  std::size_t slots = 0;   ///< so many of them find a slot free; others are claimed only where permits are plenty
  std::string cursor;      ///< where the walk over its groups begins
  std::size_t groups = 8;  ///< how many of them to begin with; 0: none
  bool first = true;       ///< groups to which ended jobs give permits back go before them
  bool second = false;     ///< of two walks under way
  bool walk() const { return groups > 0; }
};

struct LimitedAnswer {
  std::string queue;
  std::string cursor;                             ///< where the next walk begins
  std::optional<std::chrono::milliseconds> look;  ///< when it may find something; nullopt: nothing waits
  bool more = false;                              ///< as many as one walk looks at had no room, and others wait
  std::size_t groups = 0;                         ///< of the walk that gave jobs
  std::size_t jobs = 0;                           ///< of all groups
};

/// What the claim row of jobs that hold permits is to say of them: so many of each are out.
struct StillRunning {
  std::int64_t token = 0;
  std::size_t jobs = 0;
};

/// How many hints a claim took of each queue, stale ones included. As many as were asked for means
/// that more may be due, however few of them were jobs.
using TakenHints = std::map<std::string, std::size_t, std::less<>>;

struct EndedJob {
  Job job;
  Ending ending;
  std::int64_t duration_ms = 0;
};

/// Jobs to write the end of: looked at during the call only, before it first suspends.
class EndedJobs {
 public:
  explicit EndedJobs(std::vector<const EndedJob*> jobs) : jobs_(std::move(jobs)) {}
  EndedJobs(const std::vector<EndedJob>& jobs) {  // NOLINT: a batch by value is one by reference
    for (const EndedJob& job : jobs) jobs_.push_back(&job);
  }
  /// Rows are locked in the order they are named: sorted, two batches cannot deadlock.
  void sort_by_id();
  const std::vector<const EndedJob*>& all() const { return jobs_; }

 private:
  std::vector<const EndedJob*> jobs_;
};

/// How many jobs that hold permits end, per queue.
using Freed = std::map<std::string, std::size_t, std::less<>>;

struct ClaimRow {
  std::int64_t token;
  std::vector<std::string> ids;
};

/// A job that runs here although its row says otherwise.
struct LostJob {
  std::string id;
  std::int64_t token = 0;
  std::string status;  ///< what the row says; "deleted" when it is gone
};

struct ReapedJob {
  std::string id;
  std::string job_type;
  std::string status;  ///< "retrying", "failed" (poison) or "cancelled"
  std::string app;
  int attempts = 0;
  int max_attempts = 1;
  std::string code;
  std::string message;
  std::string port_id;  ///< by which ports know the job: its id, or the uuid made of it
};

/// One page of rescued claims; `last_token` 0: there was none left to reap.
struct ReapedPage {
  std::int64_t last_token = 0;
  std::vector<ReapedJob> jobs;
};

/// What one round trip to a job table carries, in one transaction: ends to write, then jobs to claim.
struct Exchange {
  std::vector<const EndedJob*> completed;
  std::vector<std::int64_t> completed_drop;  ///< tokens whose claim rows go with these
  std::vector<const EndedJob*> ended;        ///< otherwise than completed
  std::vector<std::int64_t> ended_drop;
  std::int64_t token = 0;  ///< of the claim; 0: none
  NodeIdentity node;
  std::vector<ClaimWant> wants;
  std::vector<LimitedWant> limited;
  std::vector<std::int64_t> limited_tokens;  ///< one per group that may give jobs
  bool around = false;                       ///< `limited` steps around jobs whose rows somebody holds (55P03) or the database refuses
  std::vector<std::int64_t> handed;          ///< tokens of ended claims that hold permits; their rows go with `limited`
  std::vector<StillRunning> lowered;         ///< claims of which some jobs end here; also of jobs that ended elsewhere

  std::size_t parts() const { return (completed.empty() ? 0 : 1) + (ended.empty() ? 0 : 1) + (token == 0 ? 0 : 1) + (limited.empty() ? 0 : 1); }
  bool empty() const { return parts() == 0; }
  bool fused() const { return parts() > 1; }
};

/// A job whose row the database refuses to have claimed: laid aside for ten minutes.
struct Unclaimable {
  std::string id;
  std::string queue;
  std::string error;
};

struct Exchanged {
  std::vector<std::string> completed;  ///< ids that were still ours
  std::vector<std::string> ended;
  std::vector<std::string> cancelled;  ///< those of them that ended so, whatever was to be written: a request came first
  std::vector<ClaimedJob> claimed;
  TakenHints taken;
  std::vector<ClaimedJob> limited;
  std::vector<LimitedAnswer> answers;    ///< of the queues that `limited` was asked for
  std::vector<Unclaimable> unclaimable;  ///< among those that `limited` came to
};

}  // namespace rowcrew
