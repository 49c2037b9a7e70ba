// A database whose answers a test writes.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/db.hpp>

namespace rowcrew::testing {

class ScriptedDb final : public Db {
 public:
  using Answer = std::function<Rows(const Statement&, const Params&)>;
  explicit ScriptedDb(Answer answer) : answer_(std::move(answer)) {}

  struct Call {
    std::string statement;
    std::vector<std::optional<std::string>> params;
  };
  const std::vector<Call>& calls() const { return calls_; }

 protected:
  boost::asio::awaitable<void> submit(TxMode, std::function<void(Tx&)> work) override {
    ScriptedTx tx(*this);
    work(tx);
    co_return;
  }

 private:
  struct ScriptedTx final : Tx {
    explicit ScriptedTx(ScriptedDb& owner) : db(owner) {}
    Rows exec(const Statement& statement, const Params& params) override {
      db.calls_.push_back({std::string(statement.name), params.values()});
      return db.answer_(statement, params);
    }
    ScriptedDb& db;
  };

  Answer answer_;
  std::vector<Call> calls_;
};

/// One row.
inline Rows row(const std::vector<std::string>& cells) {
  Rows rows(cells.size());
  for (const std::string& cell : cells) rows.append(cell);
  return rows;
}

}  // namespace rowcrew::testing
