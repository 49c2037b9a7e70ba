#include "pg/driver_error.hpp"

#include <fmt/format.h>

#include <pqxx/except>

#include "pg/connection.hpp"
#include "pg/driver_text.hpp"
#include "pg/sqlstate.hpp"

namespace rowcrew {
namespace {

/// libpqxx 6 forgets some states on the way and has types for them instead.
std::string state_of(const std::exception& error) {
  if (const auto* sql = dynamic_cast<const pqxx::sql_error*>(&error)) {
    if (!sql->sqlstate().empty()) return sql->sqlstate();
    return dynamic_cast<const pqxx::insufficient_privilege*>(sql) ? "42501" : "XX000";
  }
  if (dynamic_cast<const pqxx::serialization_failure*>(&error)) return "40001";
  if (dynamic_cast<const pqxx::deadlock_detected*>(&error)) return "40P01";
  if (dynamic_cast<const pqxx::statement_completion_unknown*>(&error)) return "40003";
  if (dynamic_cast<const pqxx::transaction_rollback*>(&error)) return "40000";
  // These two come with a connection that stands when a function of the server met them.
  if (dynamic_cast<const pqxx::too_many_connections*>(&error)) return "53300";
  if (dynamic_cast<const pqxx::broken_connection*>(&error)) return "08000";
  return "XX000";
}

std::string_view advice(std::string_view state) {
  if (state == "26000" || state == "42P05") {
    return " (is a transaction pooler in between? then say so in the configuration)";
  }
  return "";
}

}  // namespace

DbError server_error(const std::string& sqlstate, const std::string& message) {
  return DbError(classify_sqlstate(sqlstate), sqlstate, message, false, false);
}

DbError lost_to_read_only(const DbError& error) {
  return DbError(ErrorClass::transient, error.sqlstate(), error.what(), true, false);
}

DbError lost_if_read_only(const DbError& error, const PGconn* connection) {
  const bool lost = is_read_only(error.sqlstate()) && !server_writes(connection);
  return lost ? lost_to_read_only(error) : error;
}

DbError driver_error(const std::exception& error, std::string_view statement,
                     const PGconn* connection, bool decisive) {
  if (PQstatus(connection) != CONNECTION_OK) {
    std::string reason = one_line(PQerrorMessage(connection));
    if (reason.empty()) reason = "the connection is gone";
    return DbError(ErrorClass::transient, "", fmt::format("{}: {}", statement, reason), true,
                   decisive);
  }
  const std::string state = state_of(error);
  const bool unknown = decisive && (state == "40003" ||
                                    dynamic_cast<const pqxx::in_doubt_error*>(&error) != nullptr);
  return DbError(
      classify_sqlstate(state), state,
      fmt::format("{}: {} ({}){}", statement, one_line(error.what()), state, advice(state)), false,
      unknown);
}

}  // namespace rowcrew
