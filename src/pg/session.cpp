#include "pg/session.hpp"

#include <poll.h>

#include <string>

#include "pg/statement_template.hpp"
#include "pg/statement_tx.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

/// How much later than its statement_timeout a server may answer.
constexpr std::chrono::seconds kAnswerGrace{2};
/// How often a pooler is asked which database it leads to by now.
constexpr std::chrono::milliseconds kLookEvery{500};

void run_in(StatementTx& tx, TxMode mode, const std::function<void(Tx&)>& work) {
  if (mode == TxMode::autocommit) return work(tx);
  tx.begin();
  try {
    work(tx);
  } catch (...) {
    tx.rollback();
    throw;
  }
  tx.commit();
}

}  // namespace

std::string settings_batch(const PoolOptions& options) {
  StatementSet set({{"scope", options.pooled ? "LOCAL" : "SESSION"},
                    {"lock_timeout", std::to_string(options.lock_timeout.count())},
                    {"statement_timeout", std::to_string(options.statement_timeout.count())}},
                   "");
  std::string batch(set.render(sql_pg::session_settings).text);
  if (!options.pooled) batch += sql_pg::session_peer.text;
  return batch;
}

Session::Session(Connection connection, const PoolOptions& options, Plans plans, Watchers watchers)
    : connection_(std::move(connection)), options_(options), interrupt_(watchers.interrupt) {
  const std::string settings = settings_batch(options);
  if (options.pooled) {
    look_again();
  } else {
    begin_session(raw(), settings, options, interrupt_);
  }
  state_ = std::make_unique<SessionState>(raw());
  if (options.pooled) state_->local_settings = settings;
  state_->prepare = !options.pooled && plans == Plans::kept;
  state_->watch = watchers.answers;
  if (options.statement_timeout > options.statement_timeout.zero()) {
    state_->answer_within = options.statement_timeout + kAnswerGrace;
  }
}

Session::~Session() = default;

void Session::look_again() {
  check_database(raw(), options_, interrupt_);
  looked_ = std::chrono::steady_clock::now();
}

void Session::run(TxMode mode, const std::function<void(Tx&)>& work) {
  if (options_.pooled && std::chrono::steady_clock::now() - looked_ > kLookEvery) look_again();
  StatementTx tx(*state_, mode);
  run_in(tx, mode, work);
  // A closure of several scripts in autocommit may have left something open.
  if (PQtransactionStatus(raw()) != PQTRANS_IDLE) state_->spoiled = true;
}

bool Session::usable() {
  if (state_->spoiled || PQstatus(raw()) != CONNECTION_OK) return false;
  if (PQtransactionStatus(raw()) != PQTRANS_IDLE) return false;
  // Nothing was asked, so whatever can be read is a farewell or a notice.
  pollfd watched{PQsocket(raw()), POLLIN, 0};
  while (::poll(&watched, 1, 0) > 0) {
    if (PQconsumeInput(raw()) == 0) return false;
    if (watched.revents & (POLLHUP | POLLERR)) return false;
  }
  return true;
}

void run_once(const PoolOptions& options, TxMode mode, const std::function<void(Tx&)>& work) {
  Connector connector(options);
  Session session(connector.connect(nullptr), options, Session::Plans::single_use, {});
  session.run(mode, work);
}

void exec_script(Tx& tx, std::string_view sql) {
  auto* ours = dynamic_cast<StatementTx*>(&tx);
  if (ours == nullptr) {
    throw BugError("tx_foreign", "script: found a foreign transaction, expected one of a pool");
  }
  ours->script(sql);
}

}  // namespace rowcrew
