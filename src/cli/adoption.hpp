// The steps of taking an application's job table into service, and of giving it back.
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "cli/adoption_map.hpp"
#include "pg/pool.hpp"

namespace rowcrew::cli {

/// An adopted table as it is recorded.
struct AdoptedTable {
  std::string name;
  std::string mode;
  std::string hold_reason;
};

/// One adoption. Blocks; throws DbError and what is said at each step.
class Adoption {
 public:
  /// `patience`: how long the table's lock is tried for.
  Adoption(PoolOptions connection, std::ostream& out, std::chrono::milliseconds patience = std::chrono::seconds(60));

  /// By its name here, or by schema and table.
  std::optional<AdoptedTable> find(const std::string& name, const std::string& schema, const std::string& table);
  /// Prints what speaks for and against it; returns how many jobs run there. Throws PermanentError
  /// when it cannot be adopted.
  std::int64_t report(const AdoptionMap& map);
  void preview(const AdoptionMap& map);
  /// Nothing is attached and nothing claimed.
  std::string shadow(const AdoptionMap& map);
  /// Companions, triggers, hints for what waits; then it is served. Whatever was there is kept and
  /// mended. With `requeue_running` what runs, and not under a claim of ours, waits again.
  std::string serve(const AdoptionMap& map, bool requeue_running);
  /// Stops the fleet from claiming, waits until what it runs has ended, removes everything. Throws
  /// PermanentError when jobs still run after `wait`, unless `force`.
  void give_back(const std::string& name, std::chrono::milliseconds wait, bool force);

 private:
  /// Throws PermanentError where only the table's owner may drop the triggers, before anything is changed.
  void require_owner(std::string_view command, const std::string& name);
  void set_mode(const std::string& name, const std::string& mode, const std::optional<std::string>& reason);
  /// Under a lock_timeout that writers do not notice, again and again.
  std::int64_t change_triggers(const std::string& name, const Statement& statement, const Params& params);
  std::string blockers(const std::string& name);
  std::int64_t by_pages(const std::string& name, const Statement& statement);

  PoolOptions connection_;
  std::ostream& out_;
  std::chrono::milliseconds patience_;
};

}  // namespace rowcrew::cli
