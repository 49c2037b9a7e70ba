// A login of a test's own: in one group role, or in none.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <string_view>

#include "pg/connect_params.hpp"
#include "pg/statement_template.hpp"
#include "support/db/temp_database.hpp"

namespace rowcrew::testing {

/// For a test that makes roles: left out where the owner may not.
inline doctest::skip with_roles() {
  return doctest::skip(as_bare_owner());
}

/// Must end before its database does.
class LoginRole {
 public:
  LoginRole(const TempDatabase& database, std::string_view group)
      : database_(database), name_(next_name()) {
    const std::string role = quote_identifier(name_);
    database_.exec("DROP ROLE IF EXISTS " + role + "; CREATE ROLE " + role + " LOGIN PASSWORD '" +
                   name_ + "'");
    if (!group.empty()) database_.exec("GRANT " + quote_identifier(group) + " TO " + role);
  }
  ~LoginRole() {
    try {
      database_.exec("DROP ROLE " + quote_identifier(name_));
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: not dropped: %s\n", name_.c_str(), error.what());
    }
  }
  LoginRole(const LoginRole&) = delete;
  LoginRole& operator=(const LoginRole&) = delete;

  const std::string& name() const { return name_; }
  std::string url() const {
    PoolOptions direct;
    direct.url = database_.url();
    auto params = connect_params(direct);
    params["user"] = name_;
    params["password"] = name_;
    return test_url(params);
  }
  PoolOptions options() const { return options_for(url()); }

  /// One statement as this role.
  Rows query(std::string_view sql, const Params& params = {}) const {
    Rows rows;
    auto work = [&](Tx& tx) { rows = tx.exec(Statement{"test", sql}, params); };
    run_once(options(), TxMode::autocommit, work);
    return rows;
  }
  std::string value(std::string_view sql) const { return std::string(query(sql).text(0, 0)); }
  /// The SQLSTATE that one statement as this role ends with; empty when it succeeds.
  std::string failure(std::string_view sql) const {
    try {
      query(sql);
      return {};
    } catch (const DbError& error) {
      return error.sqlstate();
    }
  }

 private:
  static std::string next_name() {
    static std::atomic<int> count{0};
    return "rowcrew_t_login_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
  }

  const TempDatabase& database_;
  std::string name_;
};

}  // namespace rowcrew::testing
