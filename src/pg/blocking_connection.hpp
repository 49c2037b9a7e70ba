// One connection for a thread that has nothing else to do: statements one after the other.
#pragma once

#include <memory>

#include <rowcrew/db.hpp>

#include "pg/pool.hpp"

namespace rowcrew {

class Session;

/// One thread at a time. Settings and kept plans as in Pool, no reconnecting.
class BlockingConnection {
 public:
  /// Connects. Throws DbError, ConfigError.
  explicit BlockingConnection(const PoolOptions& options);
  ~BlockingConnection();
  BlockingConnection(const BlockingConnection&) = delete;
  BlockingConnection& operator=(const BlockingConnection&) = delete;

  /// In autocommit. Throws DbError.
  Rows exec(const Statement& statement, const Params& params = {});

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace rowcrew
