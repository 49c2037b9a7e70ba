#include "runtime/node_config.hpp"

#include <unistd.h>

#include <set>

#include <rowcrew/error.hpp>

#include "base/settings_tree.hpp"
#include "net/metrics_endpoint.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "node";
  return name;
}

bool is_table_name(const std::string& name) {
  return name.size() <= 48 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

/// Name and slots, the usual ones where none is named.
std::vector<std::pair<std::string, std::size_t>> read_queues(const Settings& section) {
  std::vector<std::pair<std::string, std::size_t>> queues;
  const auto add = [&](const std::string& queue, std::int64_t usual) {
    queues.emplace_back(queue, static_cast<std::size_t>(section.integer(queue, usual, 1, 10'000)));
  };
  for (const std::string& queue : section.names()) add(queue, 1);
  if (queues.empty()) {
    add("default", 8);
    add("generation", 2);
  }
  return queues;
}

}  // namespace

std::vector<std::string> NodeConfig::queue_names() const {
  std::vector<std::string> names;
  for (const auto& [queue, slots] : queues) names.push_back(queue);
  return names;
}

std::vector<std::string> NodeConfig::table_names() const {
  std::vector<std::string> names = tables;
  const std::vector<std::string> of_others = adopted.value_or(std::vector<std::string>{"*"});
  names.insert(names.end(), of_others.begin(), of_others.end());
  return names;
}

NodeConfig read_node_config(const Settings& root) {
  NodeConfig config;
  const Settings node = root.section("node");
  config.name = node.text("name", host_name());
  const std::vector<std::string> named = node.texts("tables", config.tables);
  if (node.has("tables")) {
    config.adopted.emplace();
  } else {
    Settings::Tree::of(node).show(node.full("tables"), "[job_queue, processing_jobs] and every adopted table");
  }
  config.lease = node.duration("lease", config.lease, 2s, 10min);
  config.stop_within = node.duration("stop_within", config.stop_within, 1s, 1h);
  config.poll_every = node.duration("poll_every", config.poll_every, 50ms, 1min);
  config.reconcile_every = node.duration("reconcile_every", config.reconcile_every, 100ms, 1min);
  config.audit_every = node.duration("audit_every", config.audit_every, 500ms, 1h);
  config.listen = node.flag("listen", config.listen);
  config.prefetch = static_cast<std::size_t>(node.integer("prefetch", static_cast<std::int64_t>(config.prefetch), 0, 5'000));
  config.lanes = static_cast<unsigned>(root.section("database").integer("lanes", config.lanes, 1, 8));
  config.max_crashes = static_cast<int>(node.integer("max_crashes", config.max_crashes, 1, 100));
  config.shim = node.text("shim", "");
  config.egress_allow = root.section("egress").texts("allow", {});
  config.tables.clear();
  std::set<std::string> seen;
  for (const std::string& table : named) {
    // Served twice, its jobs would start under one claim and be handed back under the other.
    if (!seen.insert(table).second) throw ConfigError("node.tables: \"" + table + "\" is named twice, expected once");
    if (table == "job_queue" || table == "processing_jobs") {
      config.tables.push_back(table);
    } else if (is_table_name(table) && config.adopted) {
      config.adopted->push_back(table);
    } else {
      throw ConfigError("node.tables: \"" + table + "\" is no job table, expected job_queue, processing_jobs or the name of an adopted table");
    }
  }
  config.metrics_listen = read_metrics_listen(root);
  config.queues = read_queues(root.section("queues"));
  return config;
}

}  // namespace rowcrew
