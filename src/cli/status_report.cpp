#include "cli/status_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/escape.hpp"
#include "cli/text_table.hpp"

namespace rowcrew::cli {
namespace {

using nlohmann::ordered_json;

/// These always have a column, any other where jobs wait for it.
const std::vector<std::string> kReasons = {"scheduled", "backoff", "suspect"};
constexpr double kMinutes = 5;
constexpr std::size_t kMostNamed = 20;  // in one line; --json has all

std::string named(const std::vector<std::string>& words, const char* between, const char* rest) {
  const std::size_t most = std::min(words.size(), kMostNamed);
  const std::string text = fmt::format("{}", fmt::join(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(most), between));
  return words.size() == most ? text : fmt::format("{} and {} more{}", text, words.size() - most, rest);
}

std::int64_t parked(const QueueStatus& queue, const std::string& reason) {
  const auto at = queue.parked.find(reason);
  return at == queue.parked.end() ? 0 : at->second;
}

std::string nodes_text(const std::vector<NodeStatus>& nodes) {
  if (nodes.empty()) return "no live node\n";
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "HOST", "PID", "VERSION", "UP", "BEAT", "CLAIMED", "QUEUES"}};
  for (const NodeStatus& node : nodes) {
    rows.push_back({node.name, node.host, std::to_string(node.pid), node.version,
                    short_span(node.uptime), short_span(node.beat_age) + " ago",
                    std::to_string(node.claimed), named(node.queues, ",", "")});
  }
  std::string text = format_table(rows, {2, 4, 5, 6});
  for (const NodeStatus& node : nodes) {
    for (const FailingStatus& failing : node.failing) {
      text += fmt::format("{}: {} fail for {}: ", node.name, failing.work, short_span(failing.lasted));
      append_prose(text, failing.error);
      text += '\n';
    }
  }
  return text;
}

std::string tables_text(const std::vector<TableStatus>& tables) {
  std::vector<std::vector<std::string>> rows = {
      {"TABLE", "CLAIMED", "COMPLETED/MIN", "FAILED LAST HOUR"}};
  for (const TableStatus& table : tables) {
    rows.push_back({table.name, std::to_string(table.claimed),
                    fmt::format("{:.1f}", per_minute(table.completed_5min)), std::to_string(table.failed_hour)});
  }
  return format_table(rows, {1, 2, 3});
}

std::string run_span(std::chrono::milliseconds span) { return span.count() < 1000 ? fmt::format("{}ms", span.count()) : short_span(span); }

/// Those that fail most come first.
std::string types_text(const std::vector<TableStatus>& tables) {
  std::vector<std::pair<const TypeStatus*, const TableStatus*>> types;
  for (const TableStatus& table : tables) {
    for (const TypeStatus& type : table.types) types.emplace_back(&type, &table);
  }
  if (types.empty()) return "";
  const auto troubled = [](const auto& a, const auto& b) {
    return std::pair(a.first->failed_hour, a.first->retried_hour) > std::pair(b.first->failed_hour, b.first->retried_hour);
  };
  std::stable_sort(types.begin(), types.end(), troubled);
  const std::size_t shown = std::min(types.size(), kMostNamed);
  std::vector<std::vector<std::string>> rows = {
      {"TABLE", "TYPE", "COMPLETED/MIN", "RETRIED LAST HOUR", "FAILED", "MEAN", "LONGEST"}};
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& [type, table] = types[i];
    rows.push_back({table->name, type->name, fmt::format("{:.1f}", per_minute(type->completed_5min)), std::to_string(type->retried_hour),
                    std::to_string(type->failed_hour), run_span(type->mean), run_span(type->longest)});
  }
  std::string text = "\n" + format_table(rows, {2, 3, 4, 5, 6});
  if (shown < types.size()) text += fmt::format("and {} more types\n", types.size() - shown);
  return text;
}

void add_reasons(std::vector<std::string>& reasons, const QueueStatus& queue) {
  for (const auto& [reason, jobs] : queue.parked) {
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
  }
}

std::string upper(std::string word) {
  for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return word;
}

/// Of a misspelt queue nothing else would tell: what waits there looks as if it were next.
std::string unserved_text(const FleetStatus& fleet) {
  if (fleet.nodes.empty()) return "";
  std::set<std::string> names;
  for (const TableStatus& table : fleet.tables) {
    for (const QueueStatus& queue : table.queues) names.insert(queue.name);
  }
  for (const NodeStatus& node : fleet.nodes) {
    for (const std::string& served : node.queues) names.erase(served);
  }
  return names.empty() ? "" : fmt::format("no live node serves: {}\n", fmt::join(names, ", "));
}

std::string queues_text(const std::vector<TableStatus>& tables) {
  std::vector<std::string> reasons = kReasons;
  for (const TableStatus& table : tables) {
    for (const QueueStatus& queue : table.queues) add_reasons(reasons, queue);
  }
  std::vector<std::vector<std::string>> rows = {{"TABLE", "QUEUE", "READY", "OLDEST"}};
  std::vector<std::size_t> numbers = {2, 3};
  for (const std::string& reason : reasons) {
    numbers.push_back(rows.front().size());
    rows.front().push_back(upper(reason));
  }
  std::string notes;
  for (const TableStatus& table : tables) {
    for (const QueueStatus& queue : table.queues) {
      std::vector<std::string> row = {table.name, queue.name, std::to_string(queue.ready), queue.oldest ? short_span(*queue.oldest) : "-"};
      for (const std::string& reason : reasons) row.push_back(std::to_string(parked(queue, reason)));
      rows.push_back(std::move(row));
    }
    if (table.capped) notes += table.name + ": more are waiting than were counted\n";
  }
  if (rows.size() == 1) return "nothing waits\n";
  return format_table(rows, numbers) + notes;
}

std::string adopted_text(const std::vector<AdoptedStatus>& adopted) {
  if (adopted.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"ADOPTED", "TABLE", "MODE", "CONFLICTS", "LAST HOUR"}};
  std::string notes;
  for (const AdoptedStatus& table : adopted) {
    rows.push_back({table.name, table.table, table.mode, std::to_string(table.conflicts), std::to_string(table.conflicts_hour)});
    if (table.hold_reason.empty()) continue;
    notes += table.name + " is held: ";
    append_prose(notes, table.hold_reason);
    notes += "\n";
  }
  return "\n" + format_table(rows, {3, 4}) + notes;
}

ordered_json to_json(const AdoptedStatus& table) {
  return {{"name", table.name},
          {"table", table.table},
          {"mode", table.mode},
          {"hold_reason", table.hold_reason.empty() ? ordered_json() : ordered_json(table.hold_reason)},
          {"conflicts", table.conflicts},
          {"conflicts_last_hour", table.conflicts_hour}};
}

ordered_json to_json(const NodeStatus& node) {
  ordered_json failing = ordered_json::array();
  for (const FailingStatus& work : node.failing) {
    failing.push_back({{"work", work.work}, {"for_ms", work.lasted.count()}, {"error", work.error}});
  }
  return {{"name", node.name},
          {"host", node.host},
          {"pid", node.pid},
          {"version", node.version},
          {"queues", node.queues},
          {"beat_age_ms", node.beat_age.count()},
          {"uptime_ms", node.uptime.count()},
          {"claimed", node.claimed},
          {"failing", failing}};
}

ordered_json to_json(const QueueStatus& queue) {
  std::vector<std::string> reasons = kReasons;
  add_reasons(reasons, queue);
  ordered_json counts = ordered_json::object();
  for (const std::string& reason : reasons) counts[reason] = parked(queue, reason);
  const ordered_json oldest = queue.oldest ? ordered_json(queue.oldest->count()) : ordered_json();
  return {{"name", queue.name}, {"ready", queue.ready}, {"oldest_ready_ms", oldest}, {"parked", counts}};
}

ordered_json to_json(const TypeStatus& type) {
  return {{"name", type.name},
          {"completed_per_minute", per_minute(type.completed_5min)},
          {"failed_last_hour", type.failed_hour},
          {"retried_last_hour", type.retried_hour},
          {"mean_ms", type.mean.count()},
          {"longest_ms", type.longest.count()}};
}

ordered_json to_json(const PauseStatus& pause) { return {{"scope", pause.scope}, {"name", pause.name}}; }

/// What stops most comes first. Names of tenants are what strangers wrote.
std::string paused_text(const std::vector<PauseStatus>& paused) {
  std::vector<std::string> words;
  for (const char* scope : {"queue", "type", "key", "tenant"}) {
    for (const PauseStatus& pause : paused) {
      if (pause.scope != scope) continue;
      words.push_back(pause.scope + " ");
      append_prose(words.back(), pause.name);
    }
  }
  return words.empty() ? "" : "\npaused: " + named(words, ", ", " (rowcrew pause lists them)") + "\n";
}

/// Nothing else would tell: jobs go on, and tables grow until a disk is full.
std::string overdue_text(const std::vector<RetentionStatus>& retention) {
  std::vector<std::string> words;
  for (const RetentionStatus& policy : retention) {
    if (is_overdue(policy)) words.push_back(fmt::format("{} for {}", policy.policy, short_span(policy.age)));
  }
  return words.empty() ? "" : fmt::format("\nretention is overdue, tables grow: {}\n", fmt::join(words, ", "));
}

ordered_json to_json(const RetentionStatus& policy) {
  return {{"policy", policy.policy}, {"age_ms", policy.age.count()}, {"overdue", is_overdue(policy)}};
}

ordered_json to_json(const TableStatus& table) {
  ordered_json queues = ordered_json::array();
  for (const QueueStatus& queue : table.queues) queues.push_back(to_json(queue));
  ordered_json types = ordered_json::array();
  for (const TypeStatus& type : table.types) types.push_back(to_json(type));
  return {{"name", table.name},
          {"claimed", table.claimed},
          {"completed_per_minute", per_minute(table.completed_5min)},
          {"failed_last_hour", table.failed_hour},
          {"counted_all", !table.capped},
          {"queues", queues},
          {"types", types}};
}

}  // namespace

std::string short_span(std::chrono::milliseconds span) {
  const auto whole = [&](auto unit) { return span / unit; };
  using namespace std::chrono_literals;
  if (span < 10s) return fmt::format("{:.1f}s", std::chrono::duration<double>(span).count());
  if (span < 2min) return fmt::format("{}s", whole(1s));
  if (span < 2h) return fmt::format("{}m", whole(1min));
  if (span < 48h) return fmt::format("{}h", whole(1h));
  return fmt::format("{}d", whole(24h));
}

double per_minute(std::int64_t completed_5min) { return static_cast<double>(completed_5min) / kMinutes; }

bool is_overdue(const RetentionStatus& policy) { return policy.age > std::chrono::hours(48); }

bool is_capped(const TableStatus& table, std::int64_t most) {
  std::int64_t ready = 0;
  std::int64_t limited = 0;
  std::int64_t others = 0;
  for (const QueueStatus& queue : table.queues) {
    ready += queue.ready;
    for (const auto& [reason, count] : queue.parked) (reason == "limited" ? limited : others) += count;
  }
  return std::max({ready, limited, others}) >= most;
}

std::string status_text(const FleetStatus& fleet) {
  std::string text =
      nodes_text(fleet.nodes) + "\n" + tables_text(fleet.tables) + types_text(fleet.tables) + "\n" + queues_text(fleet.tables);
  text += unserved_text(fleet);
  text += adopted_text(fleet.adopted);
  return text + overdue_text(fleet.retention) + paused_text(fleet.paused);
}

std::string status_json(const FleetStatus& fleet) {
  ordered_json nodes = ordered_json::array();
  ordered_json tables = ordered_json::array();
  for (const NodeStatus& node : fleet.nodes) nodes.push_back(to_json(node));
  for (const TableStatus& table : fleet.tables) tables.push_back(to_json(table));
  ordered_json adopted = ordered_json::array();
  ordered_json paused = ordered_json::array();
  ordered_json retention = ordered_json::array();
  for (const AdoptedStatus& table : fleet.adopted) adopted.push_back(to_json(table));
  for (const PauseStatus& pause : fleet.paused) paused.push_back(to_json(pause));
  for (const RetentionStatus& policy : fleet.retention) retention.push_back(to_json(policy));
  const ordered_json all = {{"nodes", nodes}, {"tables", tables}, {"adopted", adopted}, {"paused", paused}, {"retention", retention}};
  return all.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace rowcrew::cli
