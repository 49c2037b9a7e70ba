#include "pg/statement_tx.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include <rowcrew/db_error.hpp>

#include "pg/connection.hpp"
#include "pg/server_error.hpp"
#include "pg/server_text.hpp"
#include "pg/sqlstate.hpp"
#include "pg/statement_values.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

constexpr std::string_view kScript = "script";
/// "cannot run inside a transaction block"
constexpr std::string_view kActiveTransaction = "25001";
/// "statement completion unknown"
constexpr std::string_view kUnknown = "40003";

}  // namespace

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

/// One round trip, whatever goes along.
Rows StatementTx::exec_now(const Statement& statement, const Params& params, bool decisive) {
  const std::vector<const char*> values = statement_values(statement, params);
  PGconn* pg = session_.raw;
  PipelineAnswer answer;
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  const bool sent = send(statement, values, answer);
  while (sent && !answer.complete() && PQstatus(pg) == CONNECTION_OK) {
    const Result result(PQgetResult(pg), &PQclear);
    if (result) answer.take(result.get());
  }
  for (const std::string& name : answer.prepared()) session_.prepared.emplace(name, statement.text);
  if (!answer.complete() || PQexitPipelineMode(pg) == 0) lost(answer, statement.name, sent && decisive);
  check(answer, statement.name, decisive);
  std::vector<Rows> rows = answer.rows();
  return std::move(rows.back());
}

/// False: the connection is lost, or of no use any more.
bool StatementTx::send(const Statement& statement, const std::vector<const char*>& values, PipelineAnswer& answer) {
  PGconn* pg = session_.raw;
  const std::string text(statement.text);
  const int count = static_cast<int>(values.size());
  const std::string name = session_.prepare ? prepared_name(statement.name) : "";
  const auto known = session_.prepared.find(name);
  if (known != session_.prepared.end() && known->second != text) {
    throw BugError("db_statement", fmt::format("{}: two statements of this name, expected one", statement.name));
  }
  if (PQenterPipelineMode(pg) == 0) return false;
  if (std::exchange(begin_due_, false)) {
    answer.expect_rows(sql_pg::begin.name);
    if (PQsendQueryParams(pg, std::string(sql_pg::begin.text).c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) return false;
  }
  if (session_.prepare && known == session_.prepared.end()) {
    answer.expect_prepare(statement.name, name);
    if (PQsendPrepare(pg, name.c_str(), text.c_str(), 0, nullptr) == 0) return false;
  }
  answer.expect_rows(statement.name);
  const int sent = session_.prepare ? PQsendQueryPrepared(pg, name.c_str(), count, values.data(), nullptr, nullptr, 0)
                                    : PQsendQueryParams(pg, text.c_str(), count, nullptr, values.data(), nullptr, nullptr, 0);
  return sent != 0 && PQpipelineSync(pg) != 0;
}

void StatementTx::exec_plain(const std::string& sql, std::string_view name, bool decisive) {
  std::string batch = sql;
  if (std::exchange(begin_due_, false)) batch.insert(0, std::string(sql_pg::begin.text) + ";\n");
  PipelineAnswer answer;
  answer.expect_rows(name);
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  const Result result(PQexec(session_.raw, batch.c_str()), &PQclear);
  if (result) answer.take(result.get());
  check(answer, name, decisive);
}

void StatementTx::lost(const PipelineAnswer& answer, std::string_view statement, bool outcome_unknown) {
  session_.spoiled = true;
  std::string reason = last_error(session_.raw);
  if (reason.empty()) reason = "the connection is gone";
  // Then it was shut down from here, and libpq takes that for the server's doing.
  if (session_.watch != nullptr && session_.watch->overdue(std::chrono::steady_clock::now())) reason = "no answer in time";
  // The server's own farewell, if there was one.
  const bool farewell = answer.error() && !answer.error()->sqlstate().empty();
  const std::string told = farewell ? answer.error()->what() : fmt::format("{}: {}", statement, reason);
  throw DbError(ErrorClass::transient, "", told, true, outcome_unknown);
}

/// `decisive`: the statement carries its own commit, so that without an answer it may have happened.
void StatementTx::check(const PipelineAnswer& answer, std::string_view statement, bool decisive) {
  if (PQstatus(session_.raw) != CONNECTION_OK) lost(answer, statement, decisive);
  if (!answer.error()) return;
  const std::string state = answer.error()->sqlstate();
  const DbError error(answer.error()->error_class(), state, answer.error()->what(), false, decisive && state == kUnknown);
  if (spoils_session(state)) session_.spoiled = true;
  // A pooler passes the server's reports on once, at the beginning: there the error alone counts.
  const bool pooled = !session_.local_settings.empty();
  if (pooled && is_read_only(state)) throw lost_to_read_only(error);
  throw lost_if_read_only(error, session_.raw);
}

void StatementTx::begin() {
  begin_due_ = session_.local_settings.empty();
  if (begin_due_) return;
  exec_plain(std::string(sql_pg::begin.text) + ";\n" + session_.local_settings, sql_pg::begin.name, false);
}

void StatementTx::commit() {
  if (begin_due_) return;  // nothing was asked
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
  begin_due_ = false;
  if (PQtransactionStatus(session_.raw) == PQTRANS_IDLE) return;
  const AnswerWatch::Guard guard(session_.watch, session_.answer_within);
  const Result result(PQexec(session_.raw, std::string(sql_pg::rollback.text).c_str()), &PQclear);
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) session_.spoiled = true;  // the server rolls back when the connection closes
}

}  // namespace rowcrew
