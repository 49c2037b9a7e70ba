#include "cli/fleet_reading.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "pg/statement_template.hpp"
#include "queue/table_map.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 2> kTables = {"job_queue", "processing_jobs"};
/// Hints counted of each kind (ready, limited, parked) and table.
constexpr std::int64_t kMostCounted = 500'000;

std::vector<NodeStatus> read_nodes(Tx& tx) {
  const Rows rows = tx.exec(sql::cli_status_nodes, Params{});
  std::vector<NodeStatus> nodes(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    NodeStatus& node = nodes[row];
    node.node_id = rows.integer(row, 0);
    node.name = rows.text(row, 1);
    node.host = rows.text(row, 2);
    node.pid = rows.integer(row, 3);
    node.version = rows.text(row, 4);
    node.queues = nlohmann::json::parse(rows.text(row, 5)).get<std::vector<std::string>>();
    node.beat_age = milliseconds(std::max<std::int64_t>(rows.integer(row, 6), 0));
    node.uptime = milliseconds(std::max<std::int64_t>(rows.integer(row, 7), 0));
    for (const nlohmann::json& failing : nlohmann::json::parse(rows.text(row, 8))) {
      node.failing.push_back({failing.value("work", ""), milliseconds(failing.value("for_ms", std::int64_t{0})), failing.value("error", "")});
    }
  }
  return nodes;
}

std::vector<PauseStatus> read_paused(Tx& tx) {
  const Rows rows = tx.exec(sql::cli_pauses, Params{});
  std::vector<PauseStatus> paused;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    PauseStatus pause{std::string(rows.text(row, 0)), std::string(rows.text(row, 1))};
    const bool twice = !paused.empty() && paused.back().scope == pause.scope && paused.back().name == pause.name;
    if (!twice) paused.push_back(std::move(pause));  // a queue may be paused by its own row, too
  }
  return paused;
}

std::vector<RetentionStatus> read_retention(Tx& tx) {
  const Rows rows = tx.exec(sql::cli_status_retention, Params{});
  std::vector<RetentionStatus> policies;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    policies.push_back({std::string(rows.text(row, 0)), milliseconds(std::max<std::int64_t>(rows.integer(row, 1), 0))});
  }
  return policies;
}

/// Rows come in the order of their queues, of which an application may have made any number.
QueueStatus& queue_of(TableStatus& table, std::string_view name) {
  if (!table.queues.empty() && table.queues.back().name == name) return table.queues.back();
  table.queues.emplace_back();
  table.queues.back().name = name;
  return table.queues.back();
}

void read_backlog(Tx& tx, const Statement& statement, TableStatus& table) {
  const Rows rows = tx.exec(statement, Params{}.add(kMostCounted));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    QueueStatus& queue = queue_of(table, rows.text(row, 0));
    const std::string reason(rows.text(row, 1));
    const std::int64_t count = rows.integer(row, 2);
    (reason == "ready" ? queue.ready : queue.parked[reason]) = count;
    if (!rows.is_null(row, 3)) queue.oldest = milliseconds(std::max<std::int64_t>(rows.integer(row, 3), 0));
  }
  table.capped = is_capped(table, kMostCounted);
}

void read_claims(Tx& tx, const Statement& statement, TableStatus& table,
                 std::vector<NodeStatus>& nodes) {
  const Rows rows = tx.exec(statement, Params{});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::int64_t count = rows.integer(row, 1);
    table.claimed += count;
    for (NodeStatus& node : nodes) {
      if (node.node_id == rows.integer(row, 0)) node.claimed += count;
    }
  }
}

void read_rates(Tx& tx, std::vector<TableStatus>& tables) {
  const Rows rows = tx.exec(sql::cli_status_rates, Params{});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (TableStatus& table : tables) {
      if (table.name != rows.text(row, 0)) continue;
      TypeStatus type;
      type.name = rows.text(row, 1);
      type.completed_5min = rows.integer(row, 2);
      type.failed_hour = rows.integer(row, 3);
      type.retried_hour = rows.integer(row, 4);
      type.mean = milliseconds(rows.integer(row, 6) / std::max<std::int64_t>(rows.integer(row, 5), 1));
      type.longest = milliseconds(rows.integer(row, 7));
      table.completed_5min += type.completed_5min;
      table.failed_hour += type.failed_hour;
      table.types.push_back(std::move(type));
    }
  }
}

void read_table(Tx& tx, TableMap map, FleetStatus& fleet) {
  TableStatus table;
  table.name = map.name;
  StatementSet statements({}, map.name);
  describe_statements(statements, std::move(map));
  read_backlog(tx, statements.render(sql::cli_status_backlog), table);
  read_claims(tx, statements.render(sql::cli_status_claims), table, fleet.nodes);
  fleet.tables.push_back(std::move(table));
}

void read_adopted(Tx& tx, FleetStatus& fleet) {
  const Rows rows = tx.exec(sql::cli_status_adopted, Params{});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    AdoptedStatus table;
    table.name = rows.text(row, 0);
    table.table = rows.text(row, 1);
    table.mode = rows.text(row, 2);
    table.hold_reason = rows.text(row, 3);
    table.conflicts = rows.integer(row, 4);
    table.conflicts_hour = rows.integer(row, 5);
    if (table.mode != "shadow") read_table(tx, adopted_table_map(table.name, rows.integer(row, 6), rows.text(row, 7)), fleet);
    fleet.adopted.push_back(std::move(table));
  }
}

}  // namespace

FleetStatus read_fleet(Tx& tx) {
  FleetStatus fleet;
  fleet.nodes = read_nodes(tx);
  fleet.paused = read_paused(tx);
  fleet.retention = read_retention(tx);
  for (const std::string_view name : kTables) read_table(tx, table_map(name), fleet);
  read_adopted(tx, fleet);
  read_rates(tx, fleet.tables);
  return fleet;
}

}  // namespace rowcrew::cli
