// Which scripts a migration consists of, and what is refused. Pure.
#pragma once

#include <set>
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

  std::string label() const;  ///< "0001_schema.pre"
};

/// The version and step of every script that a database has seen.
using AppliedScripts = std::set<std::pair<int, std::string>, std::less<>>;

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

int newest_version(std::span<const Migration> migrations);
int newest_version(const AppliedScripts& applied);

}  // namespace rowcrew
