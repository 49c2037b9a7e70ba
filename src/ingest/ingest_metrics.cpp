#include "ingest/ingest_metrics.hpp"

#include "base/metric_text.hpp"

namespace rowcrew {

void IngestMetrics::accepted(bool created) {
  ++statuses_[202];
  if (!created) ++repeated_;
}

void IngestMetrics::refused(int status, std::string_view reason) {
  ++statuses_[status];
  const auto at = reasons_.find(reason);
  if (at != reasons_.end()) {
    ++at->second;
  } else {
    reasons_.emplace(reason, 1);
  }
}

std::string IngestMetrics::text() const {
  MetricFamily requests("rowcrew_ingest_requests_total", "counter", "Answers by status, those to questions for health aside.");
  for (const auto& [status, count] : statuses_) requests.add({{"status", std::to_string(status)}}, count);
  MetricFamily refused("rowcrew_ingest_refused_total", "counter", "Requests that enqueued nothing, by the code of their answer.");
  for (const auto& [reason, count] : reasons_) refused.add({{"reason", reason}}, count);
  MetricFamily repeated("rowcrew_ingest_duplicates_total", "counter", "Accepted requests whose idempotency key had been used before.");
  repeated.add({}, repeated_);
  return requests.text() + refused.text() + repeated.text();
}

}  // namespace rowcrew
