#include "pg/db_metrics.hpp"

#include <algorithm>

#include "base/metric_text.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

void SqlstateCounts::count(std::string_view sqlstate) {
  const std::string_view of = sqlstate.size() < 2 ? "08" : sqlstate.substr(0, 2);
  const std::lock_guard lock(mutex_);
  const auto at = counts_.find(of);
  if (at != counts_.end()) {
    ++at->second;
  } else {
    ++counts_[counts_.size() < kMost ? std::string(of) : "other"];
  }
}

std::map<std::string, std::uint64_t> SqlstateCounts::counts() const {
  const std::lock_guard lock(mutex_);
  return {counts_.begin(), counts_.end()};
}

std::string db_metrics(const SqlstateCounts& errors, const std::vector<std::pair<std::string_view, const Pool*>>& pools) {
  MetricFamily failed("rowcrew_db_errors_total", "counter", "Failures of the database that reached their caller, by SQLSTATE class.");
  for (const auto& [sqlstate_class, count] : errors.counts()) failed.add({{"sqlstate_class", sqlstate_class}}, count);
  MetricFamily in_use("rowcrew_db_pool_in_use", "gauge", "Database threads that are at work.");
  MetricFamily size("rowcrew_db_pool_size", "gauge", "Database threads, each with a connection of its own at most.");
  MetricFamily waiting("rowcrew_db_pool_waiting", "gauge", "What waits for a database thread.");
  for (const auto& [name, pool] : pools) {
    const Pool::Usage usage = pool->usage();
    in_use.add({{"pool", name}}, usage.in_use);
    size.add({{"pool", name}}, usage.size);
    waiting.add({{"pool", name}}, usage.waiting);
  }
  return failed.text() + in_use.text() + size.text() + waiting.text();
}

}  // namespace rowcrew
