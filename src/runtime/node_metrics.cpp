#include "runtime/node_metrics.hpp"

#include "base/metric_text.hpp"

namespace rowcrew {
namespace {

// A text of all of them, with the longest names, stays below a mebibyte.
constexpr std::size_t kMostQueues = 50;
constexpr std::size_t kMostKinds = 50;
constexpr std::size_t kMostPairs = 200;

constexpr double kRunBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
constexpr double kWaitBounds[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600};
constexpr double kClaimBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1};

constexpr std::string_view kOutcomes[] = {"completed", "retried", "snoozed", "failed", "cancelled", "released", "claim_lost"};
constexpr std::string_view kRenewals[] = {"ok", "lost", "error"};

}  // namespace

NodeMetrics::Claims::Claims() : took(kClaimBounds) {}

NodeMetrics::NodeMetrics(const std::vector<std::string>& queues, const std::vector<std::string>& kinds)
    : queues_(queues, kMostQueues), kinds_(kinds, kMostKinds), claimed_(queues_.size()), waits_(queues_.size(), Histogram(kWaitBounds)),
      runs_(kinds_.size(), Histogram(kRunBounds)) {
  // A series begins with its zero: rate() does not see what a counter had when it came. Where that would be very many each
  // begins with its first job.
  if ((queues_.size() - 1) * (kinds_.size() - 1) > kMostPairs) return;
  for (std::size_t queue = 1; queue < queues_.size(); ++queue) {
    for (std::size_t kind = 1; kind < kinds_.size(); ++kind) jobs_[{queue, kind}];
  }
}

NodeMetrics::Jobs& NodeMetrics::jobs(std::string_view queue, std::string_view kind) {
  if (last_ != nullptr && last_kind_ == kind && last_queue_ == queue) return *last_;
  last_ = &find_jobs({queues_.place(queue), kinds_.place(kind)});
  last_queue_ = queue;
  last_kind_ = kind;
  return *last_;
}

NodeMetrics::Jobs& NodeMetrics::find_jobs(Pair pair) {
  const auto at = jobs_.find(pair);
  if (at != jobs_.end()) return at->second;
  return jobs_[jobs_.size() < kMostPairs ? pair : Pair{pair.first, 0}];
}

void NodeMetrics::finished(std::string_view queue, std::string_view kind, Ending::Kind ending) {
  constexpr std::array kOf{Outcome::completed, Outcome::retried, Outcome::snoozed, Outcome::failed, Outcome::cancelled, Outcome::released};
  finished(queue, kind, kOf[static_cast<std::size_t>(ending)]);
}

void NodeMetrics::claimed(std::string_view queue) { ++claimed_[queues_.place(queue)]; }

void NodeMetrics::claim_answered(const std::string& table, MonoClock::duration took, bool empty) {
  Claims& claims = claims_[table];
  claims.took.observe(took);
  if (empty) ++claims.empty;
}

std::string NodeMetrics::text(const Slots& slots) const {
  MetricFamily run("rowcrew_job_run_seconds", "histogram", "How long handlers ran.");
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kind > 0 || runs_[0].count() > 0) run.add({{"kind", kinds_.value(kind)}}, runs_[kind]);
  }
  MetricFamily renewals("rowcrew_lease_renewals_total", "counter", "Heartbeats that were to renew the lease.");
  for (std::size_t i = 0; i < renewals_.size(); ++i) renewals.add({{"result", kRenewals[i]}}, renewals_[i]);
  MetricFamily notified("rowcrew_notify_received_total", "counter", "Notifications of the database.");
  notified.add({}, notified_);
  MetricFamily reconnects("rowcrew_listen_reconnects_total", "counter", "How often the connection for notifications was made anew.");
  reconnects.add({}, listening_ > 0 ? listening_ - 1 : 0);
  return slots_text(slots) + queues_text() + jobs_text() + run.text() + claims_text() + renewals.text() + notified.text() + reconnects.text();
}

std::string NodeMetrics::slots_text(const Slots& slots) const {
  std::vector<std::size_t> used(queues_.size());
  std::vector<std::size_t> all(queues_.size());
  for (const std::string& queue : slots.queues()) {
    used[queues_.place(queue)] += slots.used(queue);
    all[queues_.place(queue)] += slots.limit(queue);
  }
  MetricFamily running("rowcrew_jobs_running", "gauge", "Jobs that run here.");
  MetricFamily limit("rowcrew_worker_slots", "gauge", "How many jobs may run here at once.");
  for (std::size_t queue = 0; queue < queues_.size(); ++queue) {
    if (all[queue] == 0) continue;
    running.add({{"queue", queues_.value(queue)}}, used[queue]);
    limit.add({{"queue", queues_.value(queue)}}, all[queue]);
  }
  return running.text() + limit.text();
}

/// None is "other" unless there are more queues than are told apart.
std::string NodeMetrics::queues_text() const {
  MetricFamily claimed("rowcrew_jobs_claimed_total", "counter", "Jobs that this node claimed.");
  MetricFamily wait("rowcrew_job_wait_seconds", "histogram", "From when a job was ready (filed, fallen due, let through by a limit) until it started here.");
  for (std::size_t queue = 0; queue < queues_.size(); ++queue) {
    if (queue == 0 && claimed_[0] == 0) continue;
    claimed.add({{"queue", queues_.value(queue)}}, claimed_[queue]);
    wait.add({{"queue", queues_.value(queue)}}, waits_[queue]);
  }
  return claimed.text() + wait.text();
}

std::string NodeMetrics::jobs_text() const {
  MetricFamily started("rowcrew_jobs_started_total", "counter", "Executions that began.");
  MetricFamily finished("rowcrew_jobs_finished_total", "counter", "Claimed jobs that this node ended, handed back or lost, by outcome.");
  for (const auto& [pair, jobs] : jobs_) {
    const std::string& queue = queues_.value(pair.first);
    const std::string& kind = kinds_.value(pair.second);
    started.add({{"queue", queue}, {"kind", kind}}, jobs.started);
    for (std::size_t i = 0; i < jobs.finished.size(); ++i) {
      finished.add({{"queue", queue}, {"kind", kind}, {"outcome", kOutcomes[i]}}, jobs.finished[i]);
    }
  }
  return started.text() + finished.text();
}

std::string NodeMetrics::claims_text() const {
  MetricFamily took("rowcrew_claim_seconds", "histogram", "Round trips that claimed, with the ends of jobs that they carried.");
  MetricFamily empty("rowcrew_claim_empty_total", "counter", "Those of them that gave no job.");
  for (const auto& [table, claims] : claims_) {
    took.add({{"table", table}}, claims.took);
    empty.add({{"table", table}}, claims.empty);
  }
  return took.text() + empty.text();
}

}  // namespace rowcrew
