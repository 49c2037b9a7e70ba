// Tx over libpq: one transaction, or one autocommit statement, of one session.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <rowcrew/db.hpp>

#include "pg/answer_watch.hpp"
#include "pg/pipeline_answer.hpp"

namespace rowcrew {

/// What a session remembers between transactions.
struct SessionState {
  explicit SessionState(PGconn* connection) : raw(connection) {}

  PGconn* raw;
  /// Settings to begin every transaction with; empty when they are the session's.
  std::string local_settings;
  /// Plans stay with the session; false where the next transaction may meet another session.
  bool prepare = true;
  AnswerWatch* watch = nullptr;               ///< may be null
  std::chrono::milliseconds answer_within{};  ///< of one statement; zero: no limit
  bool spoiled = false;                       ///< to be replaced, whatever the connection says
  std::unordered_map<std::string, std::string> prepared;  ///< server-side name -> text
};

class StatementTx final : public Tx {
 public:
  StatementTx(SessionState& session, TxMode mode) : session_(session), mode_(mode) {}

  Rows exec(const Statement& statement, const Params& params) override;
  /// Several statements in one text, no results. In autocommit they are one implicit transaction.
  void script(std::string_view sql);

  /// Goes along with what comes first, for the round trip; behind a pooler with its settings, at once.
  void begin();
  void commit();
  void rollback() noexcept;

 private:
  Rows exec_alone(const Statement& statement, const Params& params);
  Rows exec_now(const Statement& statement, const Params& params, bool decisive);
  bool send(const Statement& statement, const std::vector<const char*>& values, PipelineAnswer& answer);
  void exec_plain(const std::string& sql, std::string_view name, bool decisive);
  [[noreturn]] void lost(const PipelineAnswer& answer, std::string_view statement, bool outcome_unknown);
  void check(const PipelineAnswer& answer, std::string_view statement, bool decisive);
  void claim_autocommit();

  SessionState& session_;
  TxMode mode_;
  bool used_ = false;
  bool begin_due_ = false;
};

}  // namespace rowcrew
