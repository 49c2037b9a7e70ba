#include "runtime/executor.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "base/event.hpp"
#include "base/config.hpp"
#include <rowcrew/fault.hpp>
#include "runtime/completer.hpp"

namespace rowcrew {
namespace asio = boost::asio;

namespace {

/// Every line of one execution carries whose it is; made when a line is written, not before.
class JobLog final : public Log {
 public:
  JobLog(Log& parent, const Job& job) : parent_(parent), job_(job) {}
  bool enabled(LogLevel level) const override { return parent_.enabled(level); }
  void write(LogLevel level, std::string_view event, std::span<const LogField> fields, std::string_view message) override {
    std::vector<LogField> all;
    all.reserve(fields.size() + 4);
    all.emplace_back("job", job_.id);
    all.emplace_back("job_type", job_.job_type);
    all.emplace_back("attempt", job_.attempt);
    all.emplace_back("queue", job_.queue);
    all.insert(all.end(), fields.begin(), fields.end());
    parent_.write(level, event, all, message);
  }

 private:
  Log& parent_;
  const Job& job_;
};

}  // namespace

Executor::Executor(NodeState& state, Completer& completer, SlotFreed slot_freed)
    : state_(state), completer_(completer), slot_freed_(std::move(slot_freed)) {}

void Executor::start(std::size_t table, ClaimedJob claimed) {
  ROWCREW_FAULT_POINT("job.starting");
  auto running = std::make_shared<RunningJob>(std::move(claimed.job), table);
  running->started = state_.clock.mono();
  state_.running.add(running);
  const std::string& table_name = state_.tables[table]->table.name();
  state_.statistics.add(state_.minute(), table_name, running->job.job_type, Statistics::Count::started);

  auto on_end = [this, running](std::exception_ptr error) {
    // run() lets nothing out; if it does, the job is handed back rather than forgotten.
    if (error) {
      bool is_bug = true;
      const Outcome outcome = outcome_of(error, is_bug);
      end(*running, outcome, state_.job_types.policy(running->job.job_type));
    }
    if (ended_) ended_();
  };
  const JobTypePolicy policy = state_.job_types.policy(running->job.job_type);
  asio::co_spawn(state_.executor, run(running, policy),
                 asio::bind_cancellation_slot(running->signal.slot(), std::move(on_end)));
  // Most short jobs have ended by now, and need no timer.
  if (!running->ended) arm_deadline(running, policy.timeout);
}

asio::awaitable<void> Executor::run(RunningJobs::Ref running, JobTypePolicy policy) {
  JobLog log(state_.log, running->job);
  log.info(event::kJobStarted, {});
  const std::optional<Outcome> outcome = co_await run_handler(*running, log, policy);
  end(*running, outcome, policy);
}

asio::awaitable<std::optional<Outcome>> Executor::run_handler(RunningJob& running, Log& log, JobTypePolicy policy) {
  Handler* handler = state_.registry.find(running.job.job_type);
  if (handler == nullptr) co_return Outcome(Retry("unserved", "no handler for this job type"));
  const JobContext::Node node{state_, state_.transactions};
  JobContext context(running.job, log, running.started + policy.timeout, running.started, &node);
  std::exception_ptr error;
  try {
    ROWCREW_FAULT_POINT("handler.running");
    Outcome outcome = co_await handler->run(context);
    if (running.deadline) running.deadline->cancel();
    co_return outcome;
  } catch (...) {
    error = std::current_exception();
  }
  if (running.deadline) running.deadline->cancel();
  if (running.reason == StopReason::none) co_return judged(running, log, error);
  if (running.reason == StopReason::deadline) {
    co_return Outcome(Retry("timeout", fmt::format("execution took longer than {}", format_duration(policy.timeout))));
  }
  co_return std::nullopt;
}

Outcome Executor::judged(RunningJob& running, Log& log, std::exception_ptr error) const {
  bool is_bug = false;
  Outcome outcome = outcome_of(error, is_bug);
  if (is_bug) {
    const auto* retry = std::get_if<Retry>(&outcome);
    log.error("job.bug", {{"job_type", running.job.job_type}}, retry ? retry->message : "unknown exception");
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

  EndedJob ended;
  ended.duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(ran).count();
  if (outcome) {
    ended.ending = decide(running.job, *outcome, policy.retry, state_.random.unit());
  } else if (running.reason == StopReason::stopping) {
    ended.ending = released(running.job);
  } else {
    // Lease over or claim lost: nothing of ours to write. The database rescues it, or has.
    state_.log.warning(event::kJobClaimLost, {{"job", running.job.id}, {"job_type", running.job.job_type}},
                       "the claim was lost while the job ran; its handler was stopped");
    completer_.forget(running.table, running.job);
    slot_freed_(queue, ran);
    return;
  }
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
