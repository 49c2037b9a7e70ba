// A database that answers from a function and keeps what it was asked.
#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/db.hpp>

namespace rowcrew::testing {

/// One row of text cells.
inline Rows one_row(const std::vector<std::optional<std::string>>& cells) {
  Rows rows(cells.size());
  for (const auto& cell : cells) {
    rows.append(cell ? std::optional<std::string_view>(*cell) : std::nullopt);
  }
  return rows;
}

class FakeDb final : public Db {
 public:
  struct Asked {
    std::string name;  ///< of the statement
    std::vector<std::optional<std::string>> params;
  };

  /// Answers every statement, or throws for it.
  std::function<Rows(const Asked&)> answer;
  std::vector<Asked> asked;

 private:
  class FakeTx final : public Tx {
   public:
    explicit FakeTx(FakeDb& db) : db_(db) {}
    Rows exec(const Statement& statement, const Params& params) override {
      db_.asked.push_back({std::string(statement.name), params.values()});
      if (!db_.answer) throw std::logic_error("fake database: a statement without an answer");
      return db_.answer(db_.asked.back());
    }

   private:
    FakeDb& db_;
  };

  boost::asio::awaitable<void> submit(TxMode, std::function<void(Tx&)> work) override {
    FakeTx tx(*this);
    work(tx);
    co_return;
  }
};

}  // namespace rowcrew::testing
