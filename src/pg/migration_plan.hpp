// Which scripts a migration consists of, and what is refused. Pure.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pg/migrator.hpp"

namespace rowcrew {

/// One half of a migration.
struct MigrationScript {
  int version;
  std::string_view name;  ///< "0001_schema"
  std::string_view step;  ///< "pre" or "post"
  std::string_view text;

  std::string label() const;        ///< "0001_schema.pre"
  std::string fingerprint() const;  ///< SHA-256 of the text, in hex
};

/// Version and step of every script that a database has seen, and its fingerprint.
using AppliedScripts = std::map<std::pair<int, std::string>, std::string, std::less<>>;
/// From the rows of sql/pg/migration_applied.sql.
AppliedScripts applied_from(const Rows& rows);

/// In the order to run them: by version, pre before post, halves without text left out. Throws
/// ConfigError when `upto` names no version, BugError when versions do not ascend.
std::vector<MigrationScript> plan_migration(std::span<const Migration> migrations,
                                            const MigrateOptions& options);

/// Throws ConfigError when the script's pre half is still to come.
void check_order(const MigrationScript& script, std::span<const Migration> migrations,
                 const AppliedScripts& applied);

inline constexpr int kOldestServer = 150'000;
/// `number` is server_version_num. Throws ConfigError for a server older than 15.
void check_server_version(int number);
/// Throws ConfigError when the schema is newer than every migration known here.
void check_schema_version(int found, std::span<const Migration> migrations);
/// Throws ConfigError when the schema has tables and no record of a script: a copy without data.
void check_recorded(bool has_tables, const AppliedScripts& applied);
/// Throws ConfigError when a script was applied in another form than it has here. Releases never change
/// one; between two versions of a branch under development they do.
void check_unchanged(const AppliedScripts& applied, std::span<const Migration> migrations);

int newest_version(std::span<const Migration> migrations);
int newest_version(const AppliedScripts& applied);

}  // namespace rowcrew
