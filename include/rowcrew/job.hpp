// One claimed job as a handler sees it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/progress.hpp>

namespace rowcrew {

/// A row as it was claimed; a value, never written back.
struct Job {
  std::string id;        ///< text form: a uuid, or whatever an adopted table has
  std::string table;     ///< "job_queue", "processing_jobs" or the name of an adopted table
  std::string job_type;  ///< which handler
  std::string queue;
  std::string payload;  ///< JSON text as stored (jsonb output)
  std::int64_t claim_token = 0;
  int attempt = 1;  ///< this execution, counted from 1
  int max_attempts = 1;
  int crashes = 0;  ///< claims of this job that a node's death ended
  std::string app;  ///< whose ports: a name in rowcrew.app; empty: the only one, or the defaults
};

class JobTransactions;

/// How long a node may go on with what it has claimed. Event thread only.
class LeaseView {
 public:
  virtual ~LeaseView() = default;
  /// When the runtime stops this node's handlers unless the lease is renewed before: it moves.
  virtual Mono lease_until() const = 0;
};

/// Why an execution is being stopped. Event thread only.
class StopView {
 public:
  virtual ~StopView() = default;
  /// Somebody has cancelled the job.
  virtual bool cancelled() const = 0;
};

/// Handed to a handler for the time of one execution. Event thread only. It outlives the
/// handler's coroutine.
class JobContext {
 public:
  /// What a node hands out beside the job: where its lease stands, transactions that end jobs, and where
  /// handlers leave words about themselves.
  struct Node {
    const LeaseView& lease;
    JobTransactions& transactions;
    JobProgress* progress = nullptr;
    const StopView* stop = nullptr;
  };
  /// Without a node (tests of handlers) words are dropped and there is no checkpoint.
  JobContext(const Job& job, Log& log, Mono deadline, Mono started = {}, const Node* node = nullptr)
      : job_(job), log_(log), deadline_(deadline), started_(started), node_(node),
        progress_(node == nullptr ? nullptr : node->progress) {}

  const Job& job() const { return job_; }
  /// Carries job, job_type, attempt and queue in every line.
  Log& log() { return log_; }
  /// When the runtime cancels this execution. Pass what is left of it to every outgoing call.
  Mono deadline() const { return deadline_; }
  Mono started() const { return started_; }
  /// When the runtime stops this execution because the node's lease ends, unless it is renewed.
  Mono lease_until() const { return node_ == nullptr ? Mono::max() : node_->lease.lease_until(); }
  /// Whether somebody has cancelled this job: no other execution goes on with it. What a handler has begun elsewhere it
  /// ends there when operation_aborted comes and this is so (in a few seconds, with cancellation disabled); a stop of the
  /// node and a lost lease leave it to the next execution.
  bool cancelled() const { return node_ != nullptr && node_->stop != nullptr && node_->stop->cancelled(); }
  /// For handlers whose work is in the database: job_transactions.hpp. Throws BugError without a node.
  JobTransactions& transactions() const;
  /// The payload as a JSON object. Throws PermanentError("bad_payload") if it is anything else.
  nlohmann::json payload() const;
  /// "<table>:<id>", stable over retries: send it with every effect outside the database.
  std::string idempotency_key() const { return job_.table + ":" + job_.id; }

  /// How far it is, for people: 0 to 100, and up to 200 bytes of text. Cheap enough to call often;
  /// the last word of each second is kept.
  void progress(int percent, std::string_view note = {});
  /// Where the next execution may go on, should this one not end well. Written before the end of
  /// this execution is, whatever that is. Throws PermanentError("bad_checkpoint") unless `json` is
  /// JSON of at most 64 KiB.
  void checkpoint(std::string_view json);
  /// The last checkpoint of whichever execution of this job, as JSON; empty when there is none. Ask
  /// before the first checkpoint() of this execution. Throws DbError.
  boost::asio::awaitable<std::string> last_checkpoint();

 private:
  const Job& job_;
  Log& log_;
  Mono deadline_;
  Mono started_;
  const Node* node_;
  JobProgress* progress_;
};

}  // namespace rowcrew
