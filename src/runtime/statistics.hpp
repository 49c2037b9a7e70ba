// Minute buckets of what this node did, kept in memory and added to node_stat with the heartbeat.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include <rowcrew/db.hpp>

#include "queue/transition.hpp"

namespace rowcrew {

class Statistics {
 public:
  enum class Count { started, completed, failed, retried, snoozed, cancelled, released, claim_lost, kSize };

  /// `minute`: epoch seconds of its start, wall clock; for charts only.
  void add(std::int64_t minute, const std::string& table, const std::string& job_type, Count count);
  void ended(std::int64_t minute, const std::string& table, const std::string& job_type, Ending::Kind kind,
             std::int64_t run_ms);
  bool empty() const { return buckets_.empty(); }

  /// Everything collected so far, as parameters of node/add_stats; empties the buckets. Put it back
  /// with restore() when the write fails.
  struct Bucket {
    std::array<std::int64_t, static_cast<std::size_t>(Count::kSize)> counts{};
    std::int64_t run_ms = 0;
    std::int64_t run_ms_max = 0;
  };
  using Buckets = std::map<std::tuple<std::int64_t, std::string, std::string>, Bucket>;
  Buckets take();
  void restore(const Buckets& buckets);
  static Params params(std::int64_t node_id, const Buckets& buckets);
  /// Since the start of the process, over all types.
  std::int64_t total(Count count) const { return totals_[static_cast<std::size_t>(count)]; }

 private:
  Bucket& bucket(std::int64_t minute, const std::string& table, const std::string& job_type);

  Buckets buckets_;
  Buckets::value_type* last_ = nullptr;  ///< the next job is likely to be of the same kind
  std::array<std::int64_t, static_cast<std::size_t>(Count::kSize)> totals_{};
};

}  // namespace rowcrew
