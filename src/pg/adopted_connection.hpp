// libpqxx on a connection that we opened ourselves. The only place that knows libpqxx 6's
// connection policies.
#pragma once

#include <libpq-fe.h>

#include <pqxx/connection_base>
#include <pqxx/connectionpolicy>
#include <pqxx/except>
#include <string>

namespace rowcrew {

/// libpqxx 6 connects with blocking calls and, when a connection breaks, silently makes another one
/// that has lost every setting. Here it gets the connection as it is, once; it never opens, resets
/// or closes one. `connection` must outlive this object. (What remains: it leaks the 2 kB result of
/// a statement that meets a lost connection.)
class AdoptedConnection final : public pqxx::connection_base {
 public:
  explicit AdoptedConnection(PGconn* connection)
      : pqxx::connection_base(policy_), policy_(connection) {
    init();
  }
  ~AdoptedConnection() { close(); }

 private:
  class Policy final : public pqxx::connectionpolicy {
   public:
    explicit Policy(PGconn* connection)
        : pqxx::connectionpolicy(std::string()), connection_(connection) {}
    handle do_startconnect(handle) override {
      if (connection_ == nullptr) throw pqxx::broken_connection("the connection is gone");
      return connection_;
    }
    handle do_completeconnect(handle current) override { return current; }
    handle do_disconnect(handle) noexcept override { return connection_ = nullptr; }

   private:
    PGconn* connection_;
  };

  Policy policy_;
};

}  // namespace rowcrew
