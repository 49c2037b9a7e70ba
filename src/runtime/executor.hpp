// Runs claimed jobs: one coroutine each, with deadline and cancellation, and turns whatever comes
// out of a handler into an ending for the completer.
#pragma once

#include <functional>
#include <memory>

#include "queue/job_table.hpp"
#include "queue/turns.hpp"
#include "runtime/node_state.hpp"

namespace rowcrew {

class Completer;
class LoopWatch;
class Progress;

class Executor {
 public:
  /// `slot_freed(queue, how long it ran)` is called whenever a job has ended here, its end on its way.
  using SlotFreed = std::function<void(std::string_view, MonoClock::duration)>;
  Executor(NodeState& state, Completer& completer, Progress& progress, LoopWatch& watch, SlotFreed slot_freed);

  /// Starts one job. Its slot has been taken by the caller.
  void start(std::size_t table, ClaimedJob claimed);
  /// Rung when a job ends; for whoever waits for the node to be empty.
  void on_ended(std::function<void()> handler) { ended_ = std::move(handler); }

 private:
  boost::asio::awaitable<void> run(RunningJobs::Ref running, JobTypePolicy policy);
  boost::asio::awaitable<std::optional<Outcome>> run_handler(RunningJob& running, Log& log, JobTypePolicy policy);
  boost::asio::awaitable<void> read_payload(RunningJob& running);
  void measure_start(const RunningJob& running, std::int64_t due_us);
  void arm_deadline(const RunningJobs::Ref& running, std::chrono::milliseconds timeout);
  void end(RunningJob& running, const std::optional<Outcome>& outcome, const JobTypePolicy& policy);
  Outcome judged(Log& log, std::exception_ptr error) const;

  NodeState& state_;
  Completer& completer_;
  Progress& progress_;
  LoopWatch& watch_;
  SlotFreed slot_freed_;
  Turns payloads_;  ///< that are read: heartbeats must not wait behind those of every slot
  std::function<void()> ended_;
};

}  // namespace rowcrew
