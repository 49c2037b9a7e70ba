#include "pg/server_error.hpp"

#include <fmt/format.h>

#include "pg/connection.hpp"
#include "pg/sqlstate.hpp"

namespace rowcrew {
namespace {

std::string_view advice(std::string_view state) {
  if (state == "26000" || state == "42P05") {
    return " (is a transaction pooler in between? then say so in the configuration)";
  }
  return "";
}

}  // namespace

DbError server_error(const std::string& sqlstate, const std::string& message) {
  return DbError(classify_sqlstate(sqlstate), sqlstate, fmt::format("{}{}", message, advice(sqlstate)), false, false);
}

DbError lost_to_read_only(const DbError& error) {
  return DbError(ErrorClass::transient, error.sqlstate(), error.what(), true, false);
}

DbError lost_if_read_only(const DbError& error, const PGconn* connection) {
  const bool lost = is_read_only(error.sqlstate()) && !server_writes(connection);
  return lost ? lost_to_read_only(error) : error;
}

}  // namespace rowcrew
