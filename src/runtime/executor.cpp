#include "runtime/executor.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "base/event.hpp"
#include "base/config.hpp"
#include <rowcrew/fault.hpp>
#include "runtime/completer.hpp"
#include "runtime/loop_watch.hpp"
#include "runtime/progress.hpp"

namespace rowcrew {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kPayloadsAtOnce = 2;  // half of the pool's connections

/// Every line of one execution carries whose it is; made when a line is written, not before.
class JobLog final : public Log {
 public:
  JobLog(Log& parent, const JobTable& table, const Job& job) : parent_(parent), table_(table), job_(job) {}
  bool enabled(LogLevel level) const override { return parent_.enabled(level); }
  void write(LogLevel level, std::string_view event, std::span<const LogField> fields, std::string_view message) override {
    std::vector<LogField> all;
    all.reserve(fields.size() + 4);
    all.emplace_back("job", table_.label(job_.id));
    all.emplace_back("job_type", job_.job_type);
    all.emplace_back("attempt", job_.attempt);
    all.emplace_back("queue", job_.queue);
    all.insert(all.end(), fields.begin(), fields.end());
    parent_.write(level, event, all, message);
  }

 private:
  Log& parent_;
  const JobTable& table_;
  const Job& job_;
};

/// What `result` columns are for has a size.
std::optional<Outcome> refused_result(const Job& job, const Outcome& outcome, std::size_t max) {
  const auto* completed = std::get_if<Completed>(&outcome);
  if (completed == nullptr || completed->result.size() <= max) return std::nullopt;
  return Failed("result_too_large", fmt::format("result: {} bytes, expected at most {} (max_result_bytes of job type {})",
                                                completed->result.size(), max, job.job_type));
}

}  // namespace

Executor::Executor(NodeState& state, Completer& completer, Progress& progress, LoopWatch& watch, SlotFreed slot_freed)
    : state_(state), completer_(completer), progress_(progress), watch_(watch), slot_freed_(std::move(slot_freed)), payloads_(kPayloadsAtOnce) {}

void Executor::start(std::size_t table, ClaimedJob claimed) {
  ROWCREW_FAULT_POINT("job.starting");
  auto running = std::make_shared<RunningJob>(std::move(claimed.job), table, watch_);
  running->started = state_.clock.mono();
  running->age = claimed.age;
  running->payload_left = claimed.payload_left;
  state_.running.add(running);
  const std::string& table_name = state_.tables[table]->table.name();
  state_.statistics.add(state_.minute(), table_name, running->job.job_type, Statistics::Count::started);
  if (state_.metrics != nullptr) measure_start(*running, claimed.hint_run_at_us);

  auto on_end = [this, running](std::exception_ptr error) {
    // run() lets nothing out; if it does, the job is handed back rather than forgotten.
    if (error) {
      bool is_bug = true;
      const Outcome outcome = outcome_of(error, is_bug);
      end(*running, outcome, state_.job_types.policy(running->job.job_type));
    }
    // What the slot keeps holds the job's executor, and that the job.
    running->signal.slot().clear();
    if (ended_) ended_();
  };
  const JobTypePolicy policy = state_.job_types.policy(running->job.job_type);
  asio::co_spawn(LoopWatch::job_executor(state_.executor, {running, &running->watched}), run(running, policy),
                 asio::bind_cancellation_slot(running->signal.slot(), std::move(on_end)));
  // Most short jobs have ended by now, and need no timer.
  if (!running->ended) arm_deadline(running, policy.timeout_at(running->age));
}

void Executor::measure_start(const RunningJob& running, std::int64_t due_us) {
  state_.metrics->started(running.job.queue, running.job.job_type);
  const auto now = state_.database_clock.at(running.started);
  if (now) state_.metrics->waited(running.job.queue, static_cast<double>(*now - due_us) / 1e6);
}

asio::awaitable<void> Executor::run(RunningJobs::Ref running, JobTypePolicy policy) {
  JobLog log(state_.log, state_.tables[running->table]->table, running->job);
  log.info(event::kJobStarted, {});
  std::optional<Outcome> outcome = co_await run_handler(*running, log, policy);
  if (progress_.waits(*running)) {  // before the end is: afterwards the fence would refuse it
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await progress_.flush_one(*running);
  }
  // Whatever the handler made of it, even a success that came late; but what a transaction has ended has ended.
  const bool settled = outcome && std::holds_alternative<Settled>(*outcome);
  if (running->reason == StopReason::cancelled && !settled) outcome = Outcome(Cancelled(running->stop_note));
  end(*running, outcome, policy);
}

asio::awaitable<std::optional<Outcome>> Executor::run_handler(RunningJob& running, Log& log, JobTypePolicy policy) {
  Handler* handler = state_.registry.find(running.job.job_type);
  if (handler == nullptr) co_return Outcome(Retry("unserved", "no handler for this job type"));
  const std::chrono::milliseconds timeout = policy.timeout_at(running.age);
  const JobContext::Node node{state_, state_.transactions, &progress_, &running};
  JobContext context(running.job, log, running.started + timeout, running.started, &node);
  std::exception_ptr error;
  try {
    ROWCREW_FAULT_POINT("handler.running");
    if (running.payload_left) co_await read_payload(running);
    if (running.reason == StopReason::none) {
      Outcome outcome = co_await handler->run(context);
      if (running.deadline) running.deadline->cancel();
      co_return outcome;
    }
  } catch (...) {
    error = std::current_exception();
  }
  if (running.deadline) running.deadline->cancel();
  if (running.reason == StopReason::none) co_return judged(log, error);
  if (running.reason == StopReason::deadline && timeout < policy.timeout) {
    co_return Outcome(Failed("total_deadline", fmt::format("is older than its job type allows (total_ms: {})", format_duration(*policy.total))));
  }
  if (running.reason == StopReason::deadline) {
    co_return Outcome(Retry("timeout", fmt::format("execution took longer than {}", format_duration(policy.timeout))));
  }
  co_return std::nullopt;
}

asio::awaitable<void> Executor::read_payload(RunningJob& running) {
  const Turns::Turn turn = co_await payloads_.take();
  std::optional<std::string> payload = co_await state_.tables[running.table]->table.payload(running.job);
  if (payload) {
    running.job.payload = std::move(*payload);
  } else if (running.reason == StopReason::none) {
    running.reason = StopReason::claim_lost;
  }
}

Outcome Executor::judged(Log& log, std::exception_ptr error) const {
  bool is_bug = false;
  Outcome outcome = outcome_of(error, is_bug);
  if (is_bug) {
    const auto* retry = std::get_if<Retry>(&outcome);
    log.error(event::kJobBug, {}, retry ? retry->message : "unknown exception");
  }
  return outcome;
}

void Executor::arm_deadline(const RunningJobs::Ref& running, std::chrono::milliseconds timeout) {
  running->deadline.emplace(state_.executor, timeout);
  running->deadline->async_wait([weak = std::weak_ptr<RunningJob>(running)](boost::system::error_code ec) {
    if (ec) return;
    if (const auto job = weak.lock()) RunningJobs::stop(*job, StopReason::deadline);
  });
}

void Executor::end(RunningJob& running, const std::optional<Outcome>& outcome, const JobTypePolicy& policy) {
  running.ended = true;
  state_.running.remove(running);
  state_.slots.give_back(running.job.queue);
  const MonoClock::duration ran = state_.clock.mono() - running.started;
  const std::string queue = running.job.queue;
  if (state_.metrics != nullptr) state_.metrics->ran(running.job.job_type, ran);

  EndedJob ended;
  ended.duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(ran).count();
  if (outcome) {
    const std::optional<Outcome> refused = refused_result(running.job, *outcome, policy.max_result);
    RetryPolicy retry = policy.retry;
    retry.left = policy.retry_left_at(running.age + std::chrono::milliseconds(ended.duration_ms));
    ended.ending = decide(running.job, refused ? *refused : *outcome, retry, state_.random.unit());
  } else if (running.reason == StopReason::stopping) {
    ended.ending = released(running.job);
  } else {
    // Lease over or claim lost: nothing of ours to write. The database rescues it, or has.
    state_.log.warning(event::kJobClaimLost, {{"job", state_.tables[running.table]->table.label(running.job.id)}, {"job_type", running.job.job_type}},
                       "the claim was lost while the job ran; its handler was stopped");
    if (state_.metrics != nullptr) state_.metrics->finished(queue, running.job.job_type, NodeMetrics::Outcome::claim_lost);
    completer_.forget(running.table, running.job);
    slot_freed_(queue, ran);
    return;
  }
  watch_.leave();  // before the job's strings go
  ended.job = std::move(running.job);
  ended.job.payload.clear();
  if (const auto* settled = outcome ? std::get_if<Settled>(&*outcome) : nullptr) {
    completer_.settled(running.table, ended, settled->ours());
  } else {
    completer_.add(running.table, std::move(ended));
  }
  slot_freed_(queue, ran);
}

}  // namespace rowcrew
