// The configuration of one node: defaults, units, ranges.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/settings.hpp>

namespace rowcrew {

struct NodeConfig {
  std::string name;                                            ///< node.name; default: host name
  std::vector<std::string> tables{"job_queue", "processing_jobs"};  ///< node.tables: those of our own
  /// node.tables: names of adopted tables. Unset, as without node.tables: every one that there is.
  std::optional<std::vector<std::string>> adopted;
  std::vector<std::pair<std::string, std::size_t>> queues;     ///< queues.<name>: slots, 1..10000
  std::chrono::milliseconds lease{30'000};        ///< node.lease, 2s..10m: bounds crash recovery
  std::chrono::milliseconds stop_within{25'000};  ///< node.stop_within, 1s..1h; keep below
                                                  ///< TimeoutStopSec of the unit
  std::chrono::milliseconds poll_every{2'000};    ///< node.poll_every, 50ms..1m: fallback when a
                                                  ///< notification is missed
  std::chrono::milliseconds reconcile_every{5'000};  ///< node.reconcile_every, 100ms..1m
  std::chrono::milliseconds audit_every{10'000};     ///< node.audit_every, 500ms..1h
  bool listen = true;                             ///< false: polling only
  std::size_t prefetch = 500;                     ///< node.prefetch, 0..5000: most jobs claimed ahead of a
                                                  ///< queue's free slots; 0: none
  unsigned lanes = 2;                             ///< database.lanes, 1..8: connections for claims and ends
  int max_crashes = 3;                            ///< node.max_crashes, 1..100: lonely deaths to poison
  std::vector<std::string> egress_allow;          ///< egress.allow
  std::string metrics_listen;                     ///< metrics.listen; empty: nothing is opened or counted
  std::string shim;                               ///< node.shim: path of rowcrew-shim

  std::vector<std::string> queue_names() const;
  /// Of all job tables those that this node serves, "*" for every adopted one.
  std::vector<std::string> table_names() const;
};

/// Throws ConfigError.
NodeConfig read_node_config(const Settings& root);

}  // namespace rowcrew
