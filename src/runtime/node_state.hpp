// What the services of one node share. Owned by Node; event thread only.
#pragma once

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/job_transactions.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/random.hpp>
#include <rowcrew/registry.hpp>

#include "queue/claim_ledger.hpp"
#include "queue/database_clock.hpp"
#include "queue/job_control.hpp"
#include "queue/job_table.hpp"
#include "queue/lease_keeper.hpp"
#include "queue/port_catalog.hpp"
#include "runtime/job_types.hpp"
#include "runtime/node_config.hpp"
#include "runtime/node_metrics.hpp"
#include "runtime/running_jobs.hpp"
#include "runtime/slots.hpp"
#include "runtime/statistics.hpp"
#include "runtime/table_door.hpp"
#include "runtime/troubles.hpp"

namespace rowcrew {

struct TableState {
  TableState(Db& db, const TableMap& map) : door(db, map.adopted), adopted(map.adopted), epoch(map.epoch), table(door, map), control(door, map) {}

  /// Nothing can be written or read there: it is not the table any more that was adopted.
  bool broken() const { return gone || !door.fault().empty(); }
  bool serving() const { return open && !broken(); }

  TableDoor door;
  const bool adopted;
  std::int64_t epoch;
  bool open = true;   ///< false: nothing is claimed, what runs is ended
  bool gone = false;  ///< adopted once, and no longer
  JobTable table;
  JobControl control;
  ClaimLedger ledger;
};

/// So many job tables, own and adopted, can a node serve. Services keep something per table, and a
/// table may come while they run.
inline constexpr std::size_t kMostTables = 64;

struct NodeState final : LeaseView {
  NodeState(boost::asio::any_io_executor ex, const NodeConfig& node_config, Db& database, Registry& handlers,
            PortCatalog& catalog, JobTransactions& job_transactions, Clock& the_clock, Random& the_random, Log& the_log)
      : executor(std::move(ex)), config(node_config), db(database), registry(handlers), ports(catalog),
        transactions(job_transactions), clock(the_clock), random(the_random), log(the_log), slots(node_config.queues) {
    tables.reserve(kMostTables);  // loops over it await, while a table may come
    for (const std::string& name : config.tables) tables.push_back(std::make_unique<TableState>(db, table_map(name)));
  }

  boost::asio::any_io_executor executor;
  const NodeConfig& config;
  Db& db;
  Registry& registry;
  PortCatalog& ports;
  JobTransactions& transactions;
  Clock& clock;
  Random& random;
  Log& log;

  /// `what` (claims, ends, rescue …), of a table where it is about one, has failed and is tried again: a line of `event` at
  /// debug, work.failing at warning once nothing else has happened for long.
  void failed(std::string_view what, std::string_view of, std::string_view event, const Error& error);
  void worked(std::string_view what, std::string_view of);

  std::vector<std::unique_ptr<TableState>> tables;
  Slots slots;
  RunningJobs running;
  Statistics statistics;
  NodeMetrics* metrics = nullptr;  ///< null: nobody asks for them
  DatabaseClock database_clock;
  Troubles troubles;
  JobTypes job_types;
  std::set<std::string, std::less<>> paused;  ///< queues
  bool limits = false;                        ///< there are rules about limits, of whatever queues
  std::set<std::string, std::less<>> limited_queues;  ///< of this node, that they may be about
  std::uint64_t limits_told = 0;              ///< how often rules were announced: an answer asked for before knows less

  NodeIdentity identity;             ///< node_id 0: not registered (any more)
  std::optional<LeaseKeeper> lease;  ///< of this registration
  bool informed = false;             ///< of pauses, limits and policies, by a beat of this registration
  bool hears = false;                ///< what is announced: its listener stands
  bool stopping = false;             ///< no new claims, ticks, maintenance

  std::function<void(TableMap)> table_described = [](TableMap) {};  ///< to who else writes to tables of applications
  std::function<void()> crowded = [] {};  ///< the server has no connection left for what claims: others give way

  bool leader = false;             ///< this node decides for the fleet (gatekeeper.hpp)
  bool leader_present = false;     ///< some node does, the last heartbeat says
  std::size_t others = 0;          ///< other live nodes
  bool others_serve_more = false;  ///< queues that this node does not
  std::vector<std::string> fleet_queues;  ///< of all live nodes, without paused ones
  std::set<std::string, std::less<>> leader_tables;  ///< that it serves, as NodeConfig::table_names()

  /// Whether what one node must do for all is this node's: its leader's, or without one everybody's.
  bool leads() const { return leader || !leader_present; }
  /// Whether a leader sees to it that in this table nothing is missed. Of one that it does not serve it knows nothing: then
  /// that is everybody's who does.
  bool led(const TableState& table) const {
    return leader || (leader_present && (leader_tables.contains(table.table.name()) || (table.adopted && leader_tables.contains("*"))));
  }
  bool all_led() const { return std::all_of(tables.begin(), tables.end(), [this](const auto& table) { return table->gone || led(*table); }); }
  bool leads(const TableState& table) const { return leader || !led(table); }
  Mono lease_until() const override { return identity.node_id != 0 && lease ? lease->stop_at() : Mono::min(); }
  bool holds_lease() const { return identity.node_id != 0 && lease && lease->holds(clock.mono()); }
  bool may_claim() const { return !stopping && informed && holds_lease(); }
  /// 63 random bits, never 0: a token of another node or of before a failover cannot come again.
  std::int64_t new_token() const {
    const auto bits = static_cast<std::int64_t>(random.bits() >> 1);
    return bits == 0 ? 1 : bits;
  }
  std::int64_t minute() const {
    const auto now = std::chrono::duration_cast<std::chrono::minutes>(clock.wall().time_since_epoch());
    return std::chrono::duration_cast<std::chrono::seconds>(now).count();
  }
};

}  // namespace rowcrew
