// Everything that a node does to one job table: one method per statement of sql/queries. Statements
// are repeatable, because every write presents its claim token.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/job.hpp>

#include "pg/statement_template.hpp"
#include "queue/port_catalog.hpp"
#include "queue/table_map.hpp"
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
};

/// How many jobs of a queue to claim, from which marks on (ten, see Watermarks).
struct ClaimWant {
  std::string queue;
  std::size_t count = 0;
  std::vector<std::string> marks;
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

struct ClaimRow {
  std::int64_t token;
  std::vector<std::string> ids;
};

struct ReapedJob {
  std::string id;
  std::string job_type;
  std::string status;  ///< "retrying" or "failed" (poison)
  std::string app;
  int attempts = 0;
  int max_attempts = 1;
  std::string code;
  std::string message;
  std::string port_id;  ///< by which ports know the job: its id, or the uuid made of it
};

/// A port refused what it was told. The transaction is undone: the job has not ended.
struct PortError : DbError {
  explicit PortError(const DbError& error) : DbError(error) {}
};

/// One reaped claim; `token` 0: there was none to reap.
struct ReapedClaim {
  std::int64_t token = 0;
  std::vector<ReapedJob> jobs;
};

/// All calls on the event thread; all throw DbError as Db::run does.
class JobTable {
 public:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  JobTable(Db& db, TableMap map);
  const std::string& name() const { return name_; }
  /// The table is described anew, by the same name: what is sent from now on goes by `map`.
  void describe(TableMap map);

  /// `taken`, when given, is filled in and must outlive the call.
  Awaitable<std::vector<ClaimedJob>> claim(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants,
                                           TakenHints* taken = nullptr);
  /// After 55P03: skips jobs whose rows somebody else holds locked.
  Awaitable<std::vector<ClaimedJob>> claim_unlocked(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants,
                                                    TakenHints* taken = nullptr);
  Awaitable<std::vector<ClaimedJob>> claim_suspect(std::int64_t token, NodeIdentity node, std::vector<std::string> queues);
  Awaitable<bool> has_suspect(std::vector<std::string> queues);

  /// Both write a batch, sorted by id here, and return the ids that were still ours. `drop`: tokens
  /// whose claim rows go with it.
  Awaitable<std::vector<std::string>> finish_completed(EndedJobs jobs, const std::vector<std::int64_t>& drop);
  Awaitable<std::vector<std::string>> finish_ended(EndedJobs jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop);
  /// One job that a port hears of, in the same transaction, unless the claim was lost. Throws also
  /// PortError.
  Awaitable<std::vector<std::string>> finish_reported(const EndedJob& ended, Statement port, std::int64_t node_id, std::vector<std::int64_t> drop);
  /// Which of these ended under their token although the answer was lost.
  Awaitable<std::vector<std::string>> finish_verify(std::vector<EndedJob> jobs);
  Awaitable<void> park_unserved(std::vector<Job> jobs, std::vector<std::int64_t> drop, std::chrono::milliseconds delay);
  Awaitable<void> drop_claims(std::vector<std::int64_t> tokens, std::int64_t node_id);

  Awaitable<std::vector<ClaimRow>> own_claims(NodeIdentity node);
  Awaitable<std::size_t> hand_back(std::int64_t token, std::int64_t node_id);
  /// Which of these jobs are no longer ours; (id, what they are now).
  Awaitable<std::vector<std::pair<std::string, std::string>>> lost_running(std::vector<Job> jobs);

  /// `ports` hear of poison, in the same transaction. Throws also PortError.
  Awaitable<ReapedClaim> reap(int max_crashes, std::vector<std::int64_t> skip, std::shared_ptr<const EndedPorts> ports = nullptr);
  Awaitable<std::uint64_t> promote(std::size_t limit);
  /// Milliseconds until the next parked job is due; nullopt when none is parked.
  Awaitable<std::optional<std::chrono::milliseconds>> next_parked();

  Awaitable<std::int64_t> audit_pages();
  Awaitable<std::vector<std::string>> audit_find(std::int64_t first_page, std::int64_t pages);
  Awaitable<std::vector<std::string>> audit_heal(std::vector<std::string> ids);

 private:
  Awaitable<std::vector<ClaimedJob>> run_claim(const Statement& statement, Params params, std::int64_t token,
                                               TakenHints* taken = nullptr);
  Awaitable<std::vector<std::string>> run_ids(const Statement& statement, Params params);

  Db& db_;
  std::string name_;
  StatementSet statements_;
};

}  // namespace rowcrew
