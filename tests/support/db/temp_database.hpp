// A database of a test's own on the server of ROWCREW_TEST_DATABASE_URL, whose role may create
// databases and need not be a superuser. Without that variable the program ends with one line.
#pragma once

#include <functional>
#include <map>
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

  /// A libpq URI.
  const std::string& url() const { return url_; }
  const std::string& name() const { return name_; }
  /// The defaults of production, two threads, this database.
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

/// The server's URL with another database in it.
std::string test_server_url(std::string_view database);
/// libpq keywords as a URI.
std::string test_url(std::map<std::string, std::string, std::less<>> params);

}  // namespace rowcrew::testing
