#include "pg/migrator.hpp"

#include <algorithm>
#include <array>

#include <rowcrew/db_error.hpp>

#include "base/event.hpp"
#include "pg/migration_plan.hpp"
#include "pg/session.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

/// A script may take its time, and the next in line waits for it.
PoolOptions without_limits(PoolOptions options) {
  options.statement_timeout = milliseconds(0);
  options.lock_timeout = milliseconds(0);
  return options;
}

Rows ask(Tx& tx, const Statement& statement) {
  return tx.exec(statement, Params{});
}

/// Whether there are other tables.
bool make_ground(Tx& tx) {
  const Rows found = ask(tx, sql_pg::migration_ground_found);
  if (!found.boolean(0, 0)) ask(tx, sql_pg::migration_schema);
  if (!found.boolean(0, 1)) ask(tx, sql_pg::migration_table);
  return found.boolean(0, 2);
}

AppliedScripts applied_scripts(Tx& tx) { return applied_from(ask(tx, sql_pg::migration_applied)); }

class Migrator {
 public:
  Migrator(const PoolOptions& connection, std::span<const Migration> migrations, Log& log)
      : options_(without_limits(connection)),
        connector_(options_),
        session_(connector_.connect(nullptr), options_, Session::Plans::single_use, {}),
        migrations_(migrations),
        log_(log) {}

  /// What has been applied before. Makes our bookkeeping table where there is none.
  AppliedScripts prepare_ground() {
    check_server_version(ask_server_version());
    AppliedScripts applied;
    session_.run(TxMode::transaction, [&](Tx& tx) {
      ask(tx, sql_pg::migration_lock);
      const bool has_tables = make_ground(tx);
      applied = applied_scripts(tx);
      check_recorded(has_tables, applied);
    });
    check_schema_version(newest_version(applied), migrations_);
    check_unchanged(applied, migrations_);
    return applied;
  }

  /// False: somebody else has applied it.
  bool apply(const MigrationScript& script) {
    const auto begin = std::chrono::steady_clock::now();
    bool applied_now = false;
    try {
      session_.run(TxMode::transaction, [&](Tx& tx) { applied_now = apply_in(tx, script); });
    } catch (const DbError& error) {
      throw DbError(error.error_class(), error.sqlstate(),
                    "migration " + script.label() + ": " + error.what(), error.connection_lost(),
                    error.outcome_unknown());
    }
    if (!applied_now) return false;
    const auto took =
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    log_.info(event::kSchemaMigrated,
              {{"version", script.version}, {"step", script.step}, {"took_ms", took.count()}},
              script.label());
    return true;
  }

  void apply_roles(std::string_view roles) {
    for (int left = 4;; --left) {
      try {
        session_.run(TxMode::transaction, [&](Tx& tx) {
          ask(tx, sql_pg::migration_lock);
          exec_script(tx, roles);
        });
        return;
      } catch (const DbError& error) {
        if (left == 0 || !met_another_database(error)) throw;
      }
    }
  }

 private:
  int ask_server_version() {
    int number = 0;
    session_.run(TxMode::autocommit, [&](Tx& tx) {
      number = static_cast<int>(ask(tx, sql_pg::server_version).integer(0, 0));
    });
    return number;
  }

  bool apply_in(Tx& tx, const MigrationScript& script) {
    ask(tx, sql_pg::migration_lock);
    // Asked under the lock: another migrator may have been faster, with a newer binary even.
    const AppliedScripts applied = applied_scripts(tx);
    check_schema_version(newest_version(applied), migrations_);
    if (applied.contains({script.version, std::string(script.step)})) return false;
    check_order(script, migrations_, applied);
    std::string batch;
    for (const std::string_view part : {sql_pg::migration_lock_timeout.text, script.text, sql_pg::migration_private.text}) {
      batch.append(part).append("\n;\n");
    }
    exec_script(tx, batch);
    tx.exec(sql_pg::migration_record,
            Params{}.add(script.version).add(script.step).add(script.name).add(script.fingerprint()));
    return true;
  }

  /// Roles belong to the whole server, our lock to one database: two that are migrated at once can
  /// meet in a role's row. Whoever comes second finds it done.
  static bool met_another_database(const DbError& error) {
    constexpr std::array kStates = {"23505", "42710", "XX000"};
    return std::find(kStates.begin(), kStates.end(), error.sqlstate()) != kStates.end();
  }

  PoolOptions options_;
  Connector connector_;
  Session session_;
  std::span<const Migration> migrations_;
  Log& log_;
};

}  // namespace

MigrateResult migrate(const PoolOptions& connection, std::span<const Migration> migrations,
                      std::string_view roles, const MigrateOptions& options, Log& log) {
  const std::vector<MigrationScript> plan = plan_migration(migrations, options);
  Migrator migrator(connection, migrations, log);
  MigrateResult result;
  const AppliedScripts before = migrator.prepare_ground();
  result.from = newest_version(before);
  result.to = result.from;
  for (const MigrationScript& script : plan) {
    const bool pending = !before.contains({script.version, std::string(script.step)});
    if (pending && migrator.apply(script)) result.applied.push_back(script.label());
    result.to = std::max(result.to, script.version);
  }
  if (options.with_roles) migrator.apply_roles(roles);
  return result;
}

}  // namespace rowcrew
