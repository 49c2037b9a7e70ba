// The jobs that run on this node right now, and how to stop them. Event thread only.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/job.hpp>

#include "runtime/loop_watch.hpp"

namespace rowcrew {

enum class StopReason {
  none,
  deadline,   ///< the execution took longer than its job type allows
  stopping,   ///< the node stops: the attempt is given back
  lease,      ///< the lease cannot be renewed: somebody else may start the job soon
  claim_lost, ///< the row says that it is no longer ours
  cancelled,  ///< somebody asked for it: ends as cancelled whatever the handler says
};

struct RunningJob final : StopView {
  RunningJob(Job claimed, std::size_t table_index, LoopWatch& watch)
      : job(std::move(claimed)), watched{&watch, &job}, table(table_index) {}
  bool cancelled() const override { return reason == StopReason::cancelled; }

  Job job;
  LoopWatch::Watched watched;
  std::size_t table;  ///< index into NodeState::tables
  Mono started{};
  std::chrono::milliseconds age{0};  ///< of the job when it started, where its policy asks for it
  StopReason reason = StopReason::none;  ///< the first one counts
  std::string stop_note;                 ///< of cancelled: who, and why
  boost::asio::cancellation_signal signal;
  std::optional<boost::asio::steady_timer> deadline;  ///< once it has not ended at once
  bool payload_left = false;  ///< did not come with the claim: to be read before the handler runs
  std::size_t at = 0;  ///< its place among the running
  bool ended = false;
};

class RunningJobs {
 public:
  using Ref = std::shared_ptr<RunningJob>;

  RunningJobs() = default;
  RunningJobs(const RunningJobs&) = delete;
  RunningJobs& operator=(const RunningJobs&) = delete;
  ~RunningJobs();  ///< those that have not ended never will

  void add(const Ref& running);
  void remove(const RunningJob& running);
  /// Null: it does not run here.
  Ref find(std::size_t table, const std::string& id) const;
  /// Of this very claim.
  bool runs(std::size_t table, std::int64_t token, std::string_view id) const { return find(table, token, id) != nullptr; }
  std::size_t size() const { return jobs_.size(); }
  bool empty() const { return jobs_.empty(); }

  /// Asks the handler to end. Its coroutine ends later, through its current await.
  static void stop(RunningJob& running, StopReason reason);
  void stop_all(StopReason reason);
  void stop_one(std::size_t table, std::int64_t token, std::string_view id, StopReason reason);
  std::vector<Job> jobs_of(std::size_t table) const;

 private:
  Ref find(std::size_t table, std::int64_t token, std::string_view id) const;

  std::vector<Ref> jobs_;  ///< in no order; each knows its place
};

}  // namespace rowcrew
