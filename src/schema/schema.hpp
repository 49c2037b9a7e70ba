// The embedded schema: migrations in order, the roles script, and the version this program knows.
#pragma once

#include <span>
#include <string_view>

#include "pg/migrator.hpp"

namespace rowcrew::schema {

/// Ascending versions, from sql/migrations/NNNN_name.{pre,post}.sql.
std::span<const Migration> migrations();
std::string_view roles();
/// The newest migration; what this binary was built for.
int version();

}  // namespace rowcrew::schema
