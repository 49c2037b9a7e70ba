#include "pg/statement_tx.hpp"

#include <fmt/format.h>

#include <pqxx/result>
#include <vector>

#include <rowcrew/db_error.hpp>

#include "pg/driver_error.hpp"
#include "pg/driver_text.hpp"
#include "pg/sqlstate.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

constexpr std::string_view kScript = "script";
/// "cannot run inside a transaction block"
constexpr std::string_view kActiveTransaction = "25001";

/// Views of the parameters as C strings; null pointers are NULL.
std::vector<const char*> pointers(const Statement& statement, const Params& params) {
  std::vector<const char*> out;
  out.reserve(params.values().size());
  for (const auto& value : params.values()) {
    // The driver would silently cut the text here; the server would refuse it.
    if (value && value->find('\0') != std::string::npos) {
      throw server_error("22021", fmt::format("{}: parameter ${} holds a NUL byte (22021)",
                                              statement.name, out.size() + 1));
    }
    out.push_back(value ? value->c_str() : nullptr);
  }
  return out;
}

Rows rows_of(const pqxx::result& result) {
  Rows rows(result.columns());
  for (const auto& row : result) {
    for (const auto& field : row) {
      if (field.is_null()) {
        rows.append(std::nullopt);
      } else {
        rows.append(std::string_view(field.c_str(), field.size()));
      }
    }
  }
  rows.set_affected(result.affected_rows());
  return rows;
}

}  // namespace

StatementTx::StatementTx(SessionState& session, TxMode mode) try
    : session_(session), mode_(mode), door_(session.driver) {
} catch (const pqxx::pqxx_exception& error) {
  throw driver_error(error.base(), "begin", session.raw, false);
}

Rows StatementTx::exec(const Statement& statement, const Params& params) {
  if (mode_ == TxMode::transaction) return exec_now(statement, params, false);
  claim_autocommit();
  return session_.local_settings.empty() ? exec_now(statement, params, true)
                                         : exec_alone(statement, params);
}

void StatementTx::script(std::string_view sql) {
  const bool autocommit = mode_ == TxMode::autocommit;
  if (autocommit) claim_autocommit();
  exec_plain(std::string(sql), kScript, autocommit);
}

void StatementTx::claim_autocommit() {
  if (used_) {
    throw BugError("tx_autocommit", "autocommit: found a second statement, expected exactly one");
  }
  used_ = true;
}

/// Behind a transaction pooler: a transaction around the one statement, for its settings.
Rows StatementTx::exec_alone(const Statement& statement, const Params& params) {
  begin();
  Rows rows;
  try {
    rows = exec_now(statement, params, false);
  } catch (const DbError& error) {
    rollback();
    // What refuses to run in a transaction (VACUUM) does so before it did anything.
    if (error.sqlstate() == kActiveTransaction) return exec_now(statement, params, true);
    throw;
  }
  commit();
  return rows;
}

Rows StatementTx::exec_now(const Statement& statement, const Params& params, bool decisive) {
  const std::vector<const char*> values = pointers(statement, params);
  const auto driver_values = pqxx::prepare::make_dynamic_params(values);
  bool sent = false;
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  try {
    if (!session_.prepare) {
      sent = true;
      return rows_of(door_.exec_params(std::string(statement.text), driver_values));
    }
    const std::string& name = prepare(statement);
    sent = true;
    return rows_of(door_.exec_prepared(name, driver_values));
  } catch (const pqxx::pqxx_exception& error) {
    rethrow(error.base(), statement.name, decisive && sent);
  }
}

const std::string& StatementTx::prepare(const Statement& statement) {
  std::string name = prepared_name(statement.name);
  const auto known = session_.prepared.find(name);
  if (known != session_.prepared.end()) {
    if (known->second == statement.text) return known->first;
    throw BugError("db_statement",
                   fmt::format("{}: two statements of this name, expected one", statement.name));
  }
  session_.driver.prepare(name, std::string(statement.text));
  session_.driver.prepare_now(name);
  return session_.prepared.emplace(std::move(name), statement.text).first->first;
}

void StatementTx::exec_plain(const std::string& sql, std::string_view name, bool decisive) {
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  try {
    door_.exec(sql);
  } catch (const pqxx::pqxx_exception& error) {
    rethrow(error.base(), name, decisive);
  }
}

void StatementTx::rethrow(const std::exception& error, std::string_view statement, bool decisive) {
  DbError translated = driver_error(error, statement, session_.raw, decisive);
  if (spoils_session(translated.sqlstate())) session_.spoiled = true;
  // A pooler passes the server's reports on once, at the beginning: there the error alone counts.
  const bool pooled = !session_.local_settings.empty();
  if (pooled && is_read_only(translated.sqlstate())) throw lost_to_read_only(translated);
  throw lost_if_read_only(translated, session_.raw);
}

void StatementTx::begin() {
  std::string batch(sql_pg::begin.text);
  if (!session_.local_settings.empty()) batch += ";\n" + session_.local_settings;
  exec_plain(batch, sql_pg::begin.name, false);
}

void StatementTx::commit() {
  // A closure may have swallowed the error of a statement; COMMIT would then quietly roll back.
  switch (PQtransactionStatus(session_.raw)) {
    case PQTRANS_INERROR:
      rollback();
      throw server_error("25P02", "commit: a statement had failed before, expected none (25P02)");
    case PQTRANS_IDLE:
      throw BugError("tx_ended", "commit: no transaction, expected the closure to leave it open");
    default:
      exec_plain(std::string(sql_pg::commit.text), sql_pg::commit.name, true);
  }
}

void StatementTx::rollback() noexcept {
  if (PQtransactionStatus(session_.raw) == PQTRANS_IDLE) return;
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  try {
    door_.exec(std::string(sql_pg::rollback.text));
  } catch (const std::exception&) {
    session_.spoiled = true;  // the server rolls back when the connection closes
  }
}

}  // namespace rowcrew
