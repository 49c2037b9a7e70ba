#include "pg/pipeline_answer.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "pg/server_error.hpp"
#include "pg/server_text.hpp"

namespace rowcrew {

Rows rows_of(const PGresult* result) {
  const int columns = PQnfields(result);
  const int tuples = PQntuples(result);
  Rows rows(static_cast<std::size_t>(columns));
  for (int row = 0; row < tuples; ++row) {
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        rows.append(std::nullopt);
      } else {
        rows.append(std::string_view(PQgetvalue(result, row, column),
                                     static_cast<std::size_t>(PQgetlength(result, row, column))));
      }
    }
  }
  // libpq takes the result as not const, and does not change it.
  const char* affected = PQcmdTuples(const_cast<PGresult*>(result));
  std::uint64_t count = 0;
  std::from_chars(affected, affected + std::strlen(affected), count);
  rows.set_affected(count);
  return rows;
}

void PipelineAnswer::fail(const PGresult* result, const std::string& statement) {
  if (error_) return;
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (message == nullptr) message = PQresultErrorMessage(result);  // libpq's own words: no server said this
  const std::string sqlstate = state != nullptr ? state : "";
  const char* place = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
  if (place == nullptr) place = PQresultErrorField(result, PG_DIAG_INTERNAL_POSITION);
  const std::string at = place != nullptr ? fmt::format(" at character {}", place) : "";  // as libpq says it in a whole message
  const std::string code = sqlstate.empty() ? "" : fmt::format(" ({})", sqlstate);
  const std::string text = one_line(message);
  error_ = server_error(sqlstate, fmt::format("{}: {}{}{}", statement, text.empty() ? "no message" : text, at, code));
}

void PipelineAnswer::take(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_PIPELINE_SYNC) {
    complete_ = true;
    return;
  }
  if (expected_.empty()) {  // an error of the commit itself: a deferred constraint, say
    if (status == PGRES_FATAL_ERROR) fail(result, "commit");
    return;
  }
  const Expected expected = std::move(expected_.front());
  expected_.pop_front();
  if (status == PGRES_FATAL_ERROR) {
    fail(result, expected.statement);
  } else if (status == PGRES_COMMAND_OK && !expected.prepares.empty()) {
    prepared_.push_back(expected.prepares);
  } else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
    rows_.push_back(rows_of(result));
  } else if (status != PGRES_PIPELINE_ABORTED) {
    throw BugError("db_statement", fmt::format("{}: {}, expected rows or a word that it is done", expected.statement, PQresStatus(status)));
  }
}

}  // namespace rowcrew
