#include "runtime/statistics.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace rowcrew {

void Statistics::add(std::int64_t minute, const std::string& table, const std::string& job_type, Count count) {
  const auto index = static_cast<std::size_t>(count);
  ++bucket(minute, table, job_type).counts[index];
  ++totals_[index];
}

void Statistics::ended(std::int64_t minute, const std::string& table, const std::string& job_type,
                       Ending::Kind kind, std::int64_t run_ms) {
  constexpr std::array kCounts{Count::completed, Count::retried, Count::snoozed, Count::failed, Count::cancelled, Count::released};
  const auto index = static_cast<std::size_t>(kCounts[static_cast<std::size_t>(kind)]);
  Bucket& of = bucket(minute, table, job_type);
  ++of.counts[index];
  ++totals_[index];
  of.run_ms += run_ms;
  of.run_ms_max = std::max(of.run_ms_max, run_ms);
}

Statistics::Bucket& Statistics::bucket(std::int64_t minute, const std::string& table, const std::string& job_type) {
  const auto is_last = [&] {
    const auto& [of_minute, of_table, of_type] = last_->first;
    return of_minute == minute && of_type == job_type && of_table == table;
  };
  if (last_ == nullptr || !is_last()) last_ = &*buckets_.try_emplace({minute, table, job_type}).first;
  return last_->second;
}

Statistics::Buckets Statistics::take() {
  last_ = nullptr;
  return std::exchange(buckets_, {});
}

void Statistics::restore(const Buckets& buckets) {
  for (const auto& [key, old] : buckets) {
    Bucket& bucket = buckets_[key];
    for (std::size_t i = 0; i < old.counts.size(); ++i) bucket.counts[i] += old.counts[i];
    bucket.run_ms += old.run_ms;
    bucket.run_ms_max = std::max(bucket.run_ms_max, old.run_ms_max);
  }
}

Params Statistics::params(std::int64_t node_id, const Buckets& buckets) {
  std::vector<std::int64_t> minutes;
  std::vector<std::string> tables;
  std::vector<std::string> types;
  std::array<std::vector<std::int64_t>, static_cast<std::size_t>(Count::kSize)> counts;
  std::vector<std::int64_t> run_ms;
  std::vector<std::int64_t> run_ms_max;
  for (const auto& [key, bucket] : buckets) {
    minutes.push_back(std::get<0>(key));
    tables.push_back(std::get<1>(key));
    types.push_back(std::get<2>(key));
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i].push_back(bucket.counts[i]);
    run_ms.push_back(bucket.run_ms);
    run_ms_max.push_back(std::min<std::int64_t>(bucket.run_ms_max, INT32_MAX));
  }
  Params params;
  params.add(node_id).add_array(minutes).add_array(tables).add_array(types);
  for (const auto& column : counts) params.add_array(column);
  params.add_array(run_ms).add_array(run_ms_max);
  return params;
}

}  // namespace rowcrew
