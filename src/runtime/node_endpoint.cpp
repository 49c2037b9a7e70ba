#include "runtime/node_endpoint.hpp"

#include "base/process_metrics.hpp"
#include "pg/db_metrics.hpp"

namespace rowcrew {

NodeEndpoint::NodeEndpoint(const NodeParts& parts, NodeState& state)
    : parts_(parts), state_(state), started_(parts.clock.wall()), counts_(parts.config.queue_names(), parts.registry.job_types()),
      loop_lag_(parts.clock) {
  MetricsAnswers answers{[this] { return metrics(); }, [this] { return hindrance(); }};
  server_ = make_metrics_server(parts.io.get_executor(), parts.config.metrics_listen, std::move(answers), parts.log);
  state_.metrics = &counts_;
}

void NodeEndpoint::start(Supervisor& supervisor) {
  supervisor.start(loop_lag_);
  supervisor.start(*server_);
}

std::string NodeEndpoint::metrics() const {
  std::vector<std::pair<std::string_view, const Pool*>> pools{{"engine", &parts_.pool}};
  if (parts_.handlers != nullptr) pools.emplace_back("handlers", parts_.handlers);
  const SqlstateCounts none;
  const SqlstateCounts& errors = parts_.connection.errors ? *parts_.connection.errors : none;
  return build_metrics(parts_.version, parts_.schema_version) + counts_.text(state_.slots) + db_metrics(errors, pools) +
         loop_lag_.text() + process_metrics(started_);
}

std::string_view NodeEndpoint::hindrance() const {
  if (state_.stopping) return "draining";
  if (!parts_.pool.reachable()) return "database";
  if (!state_.informed) return "starting";
  return state_.holds_lease() ? "" : "lease";
}

}  // namespace rowcrew
