// A database of a test's own on the server of ROWCREW_TEST_DATABASE_URL, whose role may create
// databases and need not be a superuser. Without that variable the program ends with one line.
//
// Two more make the same tests run elsewhere (scripts/test --pooled, --bare):
//   ROWCREW_TEST_POOLER_URL  a transaction pooler in front of that server: what is tested goes through
//                            it, and past it to LISTEN
//   ROWCREW_TEST_OWNER       a role without any rights of its own: it owns the databases, installs
//                            without roles, and is who is tested
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>

#include "pg/pool.hpp"

namespace rowcrew::testing {

class TempDatabase {
 public:
  enum class Content {
    migrated,  ///< a copy of a template that the real migrate() has made, once per schema text
    empty,
  };

  explicit TempDatabase(Content content = Content::migrated);
  /// Drops it, whoever is still connected.
  ~TempDatabase();
  TempDatabase(const TempDatabase&) = delete;
  TempDatabase& operator=(const TempDatabase&) = delete;

  /// A libpq URI, never through a pooler: for what a test asks and does itself.
  const std::string& url() const { return url_; }
  const std::string& name() const { return name_; }
  /// The defaults of production, two threads, this database: for what is tested.
  PoolOptions options() const;

  /// SQL text of one or several statements.
  void exec(std::string_view sql) const;
  /// One statement on a connection of its own.
  Rows query(std::string_view sql, const Params& params = {}) const;
  /// The one value of query(), as text.
  std::string value(std::string_view sql, const Params& params = {}) const;

 private:
  std::string name_;
  std::string url_;
};

/// Whether what is tested goes through a transaction pooler. Tests of what only a session can do
/// leave themselves out then, or go past it.
bool through_pooler();
/// Whether it is a bare owner that is tested, who can make no roles.
bool as_bare_owner();
/// How production would reach the database of this URL: through the pooler, when there is one.
PoolOptions options_for(const std::string& url);

/// The server's URL with another database in it.
std::string test_server_url(std::string_view database);
/// A superuser's URI of this database, or nothing where the tests have none.
std::optional<std::string> superuser_url(const TempDatabase& db);
/// libpq keywords as a URI.
std::string test_url(std::map<std::string, std::string, std::less<>> params);

}  // namespace rowcrew::testing
