// Applies numbered migrations, forward only, each pair in a transaction of its own under a
// transaction-level advisory lock.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/pool.hpp"

namespace rowcrew {

/// `pre` runs before the new binaries start (additions that old ones survive), `post` after the
/// last old one is gone (removals). Embedded from sql/migrations/NNNN_name.{pre,post}.sql.
struct Migration {
  int version;
  std::string_view name;
  std::string_view pre;
  std::string_view post;  ///< empty when there is none
};

enum class MigrationStep { pre, post, all };

struct MigrateOptions {
  MigrationStep step = MigrationStep::all;
  bool with_roles = true;  ///< false: the installation manages roles; nothing is created or granted
  int upto = 0;            ///< 0: the newest
};

struct MigrateResult {
  int from = 0;
  int to = 0;
  std::vector<std::string> applied;  ///< "0001_schema.pre", …
};

/// Idempotent; several at once on one database queue up and find nothing left to do. `roles` is the
/// roles script, run last when with_roles. Throws DbError; ConfigError for a server older than 15
/// or a schema newer than the newest migration.
MigrateResult migrate(const PoolOptions& connection, std::span<const Migration> migrations,
                      std::string_view roles, const MigrateOptions& options, Log& log);

/// Everything migrate() would run, as one script for psql (`rowcrew migrate --sql`).
std::string migration_script(std::span<const Migration> migrations, std::string_view roles,
                             const MigrateOptions& options);

}  // namespace rowcrew
