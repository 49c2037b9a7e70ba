#include "cli/status_metrics.hpp"

#include <algorithm>
#include <set>

#include "base/metric_text.hpp"

namespace rowcrew::cli {
namespace {

double seconds(std::chrono::milliseconds span) { return std::chrono::duration<double>(span).count(); }

std::set<std::string> served(const FleetStatus& fleet) {
  std::set<std::string> queues;
  for (const NodeStatus& node : fleet.nodes) queues.insert(node.queues.begin(), node.queues.end());
  return queues;
}

/// What waits in this table, and zeros of the queues where nothing does.
std::vector<QueueStatus> with_empty(const TableStatus& table, std::set<std::string> empty) {
  std::vector<QueueStatus> queues = table.queues;
  for (const QueueStatus& queue : queues) empty.erase(queue.name);
  for (const std::string& name : empty) {
    queues.emplace_back();
    queues.back().name = name;
  }
  return queues;
}

std::string nodes_metrics(const FleetStatus& fleet) {
  MetricFamily count("rowcrew_nodes", "gauge", "Live nodes.");
  count.add({}, fleet.nodes.size());
  MetricFamily claimed("rowcrew_node_claimed_jobs", "gauge", "Jobs that a node holds.");
  MetricFamily beat("rowcrew_node_beat_age_seconds", "gauge", "Since the last heartbeat of a node.");
  MetricFamily failing("rowcrew_node_failing", "gauge", "How much of a node's work does nothing but fail; rowcrew status tells what.");
  for (const NodeStatus& node : fleet.nodes) {
    const std::string pid = std::to_string(node.pid);
    claimed.add({{"node", node.name}, {"host", node.host}, {"pid", pid}}, node.claimed);
    beat.add({{"node", node.name}, {"host", node.host}, {"pid", pid}}, seconds(node.beat_age));
    failing.add({{"node", node.name}, {"host", node.host}, {"pid", pid}}, node.failing.size());
  }
  return count.text() + claimed.text() + beat.text() + failing.text();
}

std::string queues_metrics(const FleetStatus& fleet) {
  const std::set<std::string> empty = served(fleet);
  std::set<std::string> names = empty;
  MetricFamily jobs("rowcrew_queue_jobs", "gauge", "Jobs that wait: ready, or why they may not run now.");
  MetricFamily oldest("rowcrew_queue_oldest_ready_age_seconds", "gauge", "For how long the oldest ready job has been due.");
  for (const TableStatus& table : fleet.tables) {
    for (const QueueStatus& queue : with_empty(table, empty)) {
      names.insert(queue.name);
      jobs.add({{"table", table.name}, {"queue", queue.name}, {"state", "ready"}}, queue.ready);
      oldest.add({{"table", table.name}, {"queue", queue.name}}, seconds(queue.oldest.value_or(std::chrono::milliseconds(0))));
      for (const auto& [reason, count] : queue.parked) {
        jobs.add({{"table", table.name}, {"queue", queue.name}, {"state", reason}}, count);
      }
    }
  }
  MetricFamily is_served("rowcrew_queue_served", "gauge", "Whether a live node serves the queue.");
  for (const std::string& name : names) is_served.add({{"queue", name}}, empty.count(name));
  return jobs.text() + oldest.text() + is_served.text();
}

std::string tables_metrics(const FleetStatus& fleet) {
  MetricFamily claimed("rowcrew_table_claimed_jobs", "gauge", "Jobs that nodes hold.");
  MetricFamily completed("rowcrew_table_completed_jobs_per_minute", "gauge", "Mean of the last five whole minutes.");
  MetricFamily failed("rowcrew_table_failed_jobs_last_hour", "gauge", "Jobs that failed within the last hour.");
  for (const TableStatus& table : fleet.tables) {
    claimed.add({{"table", table.name}}, table.claimed);
    completed.add({{"table", table.name}}, per_minute(table.completed_5min));
    failed.add({{"table", table.name}}, table.failed_hour);
  }
  MetricFamily type_failed("rowcrew_type_failed_jobs_last_hour", "gauge", "Jobs of a type that failed within the last hour.");
  MetricFamily type_retried("rowcrew_type_retried_executions_last_hour", "gauge", "Executions of a type that failed within the last hour and are tried again.");
  MetricFamily type_mean("rowcrew_type_mean_run_seconds", "gauge", "How long an execution took, in the mean of the last hour.");
  for (const TableStatus& table : fleet.tables) {
    for (const TypeStatus& type : table.types) {
      type_failed.add({{"table", table.name}, {"job_type", type.name}}, type.failed_hour);
      type_retried.add({{"table", table.name}, {"job_type", type.name}}, type.retried_hour);
      type_mean.add({{"table", table.name}, {"job_type", type.name}}, seconds(type.mean));
    }
  }
  return claimed.text() + completed.text() + failed.text() + type_failed.text() + type_retried.text() + type_mean.text();
}

std::string pauses_metrics(const FleetStatus& fleet) {
  MetricFamily pauses("rowcrew_pauses", "gauge", "What is paused; rowcrew pause lists it.");
  for (const char* scope : {"queue", "type", "key", "tenant"}) {
    pauses.add({{"scope", scope}}, std::count_if(fleet.paused.begin(), fleet.paused.end(), [&](const PauseStatus& p) { return p.scope == scope; }));
  }
  return pauses.text();
}

std::string retention_metrics(const FleetStatus& fleet) {
  MetricFamily age("rowcrew_retention_age_seconds", "gauge", "Since a retention policy came to the end of its table, or was changed.");
  for (const RetentionStatus& policy : fleet.retention) age.add({{"policy", policy.policy}}, seconds(policy.age));
  return age.text();
}

std::string adopted_metrics(const FleetStatus& fleet) {
  MetricFamily held("rowcrew_adopted_held", "gauge", "Whether an adopted table is held until it is repaired.");
  MetricFamily conflicts("rowcrew_adopted_conflicts_total", "counter", "Stale writes of the application that were held.");
  for (const AdoptedStatus& table : fleet.adopted) {
    held.add({{"table", table.name}}, table.mode == "held" ? 1 : 0);
    conflicts.add({{"table", table.name}}, table.conflicts);
  }
  return held.text() + conflicts.text();
}

}  // namespace

std::string status_metrics(const FleetStatus& fleet) {
  return nodes_metrics(fleet) + queues_metrics(fleet) + tables_metrics(fleet) + pauses_metrics(fleet) + retention_metrics(fleet) +
         adopted_metrics(fleet);
}

}  // namespace rowcrew::cli
