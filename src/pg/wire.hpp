// Statements that travel together: one round trip, one transaction.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <utility>
#include <vector>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>

namespace rowcrew {

struct Call {
  Call(Statement what, Params with) : statement(what), params(std::move(with)) {}
  Statement statement;
  Params params;
};

/// The way of the statements whose round trip counts (claims and ends of jobs). Event thread only. Another
/// exec() may begin while one is under way.
class Wire {
 public:
  virtual ~Wire() = default;
  /// All or nothing: the calls run in order, each with a snapshot of its own, and commit together.
  /// One Rows per call. Throws DbError (outcome_unknown() when the answer was lost after sending)
  /// and TransientError when nothing was sent.
  virtual boost::asio::awaitable<std::vector<Rows>> exec(std::vector<Call> calls) = 0;
};

/// Through the pool of database threads: behind a transaction pooler, where a connection of one's
/// own keeps neither settings nor prepared statements.
class PoolWire final : public Wire {
 public:
  explicit PoolWire(Db& db) : db_(db) {}
  boost::asio::awaitable<std::vector<Rows>> exec(std::vector<Call> calls) override;

 private:
  Db& db_;
};

}  // namespace rowcrew
