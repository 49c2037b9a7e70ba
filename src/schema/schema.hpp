// The embedded schema: migrations in order, the roles script, apps, and the version this program knows.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "pg/migrator.hpp"

namespace rowcrew::schema {

/// Ascending versions, from sql/migrations/NNNN_name.{pre,post}.sql.
std::span<const Migration> migrations();
std::string_view roles();
/// The applications that ship with rowcrew, sql/apps/<app>/.
std::vector<std::string_view> apps();
/// The files of one in order; each can be run again. Empty for an app that does not ship.
std::vector<std::string_view> app_scripts(std::string_view app);
/// The newest migration; what this binary was built for.
int version();

}  // namespace rowcrew::schema
