// The state of the fleet as numbers, and how a person or a program reads them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rowcrew::cli {

/// Work of a node that does nothing but fail.
struct FailingStatus {
  std::string work;
  std::chrono::milliseconds lasted{0};
  std::string error;
};

struct NodeStatus {
  std::int64_t node_id = 0;
  std::string name;
  std::string host;
  std::int64_t pid = 0;
  std::string version;
  std::vector<std::string> queues;
  std::chrono::milliseconds beat_age{0};
  std::chrono::milliseconds uptime{0};
  std::int64_t claimed = 0;  ///< jobs, of all tables
  std::vector<FailingStatus> failing;  ///< as of the last beat
};

struct QueueStatus {
  std::string name;
  std::int64_t ready = 0;
  std::optional<std::chrono::milliseconds> oldest;  ///< how long the oldest of these has been due
  std::map<std::string, std::int64_t> parked;  ///< by reason
};

/// What became of the executions of a job type.
struct TypeStatus {
  std::string name;
  std::int64_t completed_5min = 0;
  std::int64_t failed_hour = 0;
  std::int64_t retried_hour = 0;
  std::chrono::milliseconds mean{0};  ///< of the last hour
  std::chrono::milliseconds longest{0};
};

struct TableStatus {
  std::string name;
  std::vector<QueueStatus> queues;
  std::vector<TypeStatus> types;  ///< those that ran within the hour
  std::int64_t claimed = 0;  ///< by live nodes and by dead ones that nobody has reaped yet
  std::int64_t completed_5min = 0;
  std::int64_t failed_hour = 0;
  bool capped = false;  ///< there are more hints than were counted
};

/// A job table of an application.
struct AdoptedStatus {
  std::string name;
  std::string table;  ///< schema and table, quoted where it needs to be
  std::string mode;   ///< serve, shadow, held
  std::string hold_reason;
  std::int64_t conflicts = 0;  ///< stale writes that were held, ever
  std::int64_t conflicts_hour = 0;
};

struct PauseStatus {
  std::string scope;  ///< queue, type, tenant, key
  std::string name;
};

/// A retention policy that is carried out.
struct RetentionStatus {
  std::string policy;
  std::chrono::milliseconds age{0};  ///< since it came to the end of its table, or was changed
};

struct FleetStatus {
  std::vector<NodeStatus> nodes;
  std::vector<TableStatus> tables;
  std::vector<AdoptedStatus> adopted;
  std::vector<PauseStatus> paused;  ///< whether or not something waits for it
  std::vector<RetentionStatus> retention;
};

/// Completed, the mean of the last five whole minutes.
double per_minute(std::int64_t completed_5min);
/// Whether hints of one of their kinds, each counted up to `most`, may be more than were counted.
bool is_capped(const TableStatus& table, std::int64_t most);

/// Whether more than one of its nights was missed: its table grows.
bool is_overdue(const RetentionStatus& policy);

std::string status_text(const FleetStatus& fleet);
/// One object, with a line end.
std::string status_json(const FleetStatus& fleet);

/// "0.4s", "12s", "3m", "5h", "2d".
std::string short_span(std::chrono::milliseconds span);

}  // namespace rowcrew::cli
