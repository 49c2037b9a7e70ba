// The metrics endpoint of a node: what is measured, and whether it takes work.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/loop_lag.hpp"
#include "base/service.hpp"
#include "net/metrics_endpoint.hpp"
#include "runtime/node.hpp"
#include "runtime/node_metrics.hpp"
#include "runtime/node_state.hpp"

namespace rowcrew {

class NodeEndpoint {
 public:
  /// Binds metrics.listen. Both must outlive it; from now on the state counts.
  NodeEndpoint(const NodeParts& parts, NodeState& state);
  ~NodeEndpoint() { state_.metrics = nullptr; }
  NodeEndpoint(const NodeEndpoint&) = delete;
  NodeEndpoint& operator=(const NodeEndpoint&) = delete;

  void start(Supervisor& supervisor);

 private:
  std::string metrics() const;
  std::string_view hindrance() const;

  const NodeParts& parts_;
  NodeState& state_;
  const std::chrono::system_clock::time_point started_;
  NodeMetrics counts_;
  LoopLag loop_lag_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace rowcrew
