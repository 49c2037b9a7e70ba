// What a node counts itself, for its metrics: only where somebody may ask (metrics.listen). Event thread only.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rowcrew/clock.hpp>

#include "base/histogram.hpp"
#include "base/label_values.hpp"
#include "queue/transition.hpp"
#include "runtime/slots.hpp"

namespace rowcrew {

class NodeMetrics {
 public:
  enum class Outcome { completed, retried, snoozed, failed, cancelled, released, claim_lost, kSize };
  enum class Renewal { ok, lost, error, kSize };

  /// Queues and kinds that the node serves. Of very many some are counted as "other".
  NodeMetrics(const std::vector<std::string>& queues, const std::vector<std::string>& kinds);

  void claimed(std::string_view queue);
  /// One round trip that claimed jobs of a table.
  void claim_answered(const std::string& table, MonoClock::duration took, bool empty);
  void started(std::string_view queue, std::string_view kind) { ++jobs(queue, kind).started; }
  void waited(std::string_view queue, double seconds) { waits_[queues_.place(queue)].observe(seconds); }
  void ran(std::string_view kind, MonoClock::duration took) { runs_[kinds_.place(kind)].observe(took); }
  void finished(std::string_view queue, std::string_view kind, Outcome outcome) {
    ++jobs(queue, kind).finished[static_cast<std::size_t>(outcome)];
  }
  void finished(std::string_view queue, std::string_view kind, Ending::Kind ending);
  void renewed(Renewal result) { ++renewals_[static_cast<std::size_t>(result)]; }
  void notified() { ++notified_; }
  void listening() { ++listening_; }

  /// All of it and what the slots say, in the text format of Prometheus.
  std::string text(const Slots& slots) const;

 private:
  struct Jobs {
    std::uint64_t started = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(Outcome::kSize)> finished{};
  };
  struct Claims {
    Claims();
    Histogram took;
    std::uint64_t empty = 0;
  };
  using Pair = std::pair<std::size_t, std::size_t>;  ///< places of queue and kind

  std::string slots_text(const Slots& slots) const;
  std::string jobs_text() const;
  std::string queues_text() const;
  std::string claims_text() const;
  Jobs& jobs(std::string_view queue, std::string_view kind);
  Jobs& find_jobs(Pair pair);

  LabelValues queues_;
  LabelValues kinds_;
  std::map<Pair, Jobs> jobs_;
  Jobs* last_ = nullptr;  ///< the next job is likely to be of the same kind
  std::string last_queue_;
  std::string last_kind_;
  std::vector<std::uint64_t> claimed_;  ///< per queue
  std::vector<Histogram> waits_;        ///< per queue
  std::vector<Histogram> runs_;         ///< per kind
  std::map<std::string, Claims, std::less<>> claims_;  ///< per table
  std::array<std::uint64_t, static_cast<std::size_t>(Renewal::kSize)> renewals_{};
  std::uint64_t notified_ = 0;
  std::uint64_t listening_ = 0;
};

}  // namespace rowcrew
