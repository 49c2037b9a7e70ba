// What the tests of a pool share.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>
#include <thread>

#include <rowcrew/db_error.hpp>

#include "pg/pool.hpp"
#include "support/db/pg_proxy.hpp"
#include "support/db/temp_database.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

/// One empty database for all tests of a program that make their own tables.
inline TempDatabase& scratch() {
  static TempDatabase database(TempDatabase::Content::empty);
  return database;
}

/// What most of these tests are about: connections that are sessions, past any pooler.
inline PoolOptions sessions() {
  return *direct_options(scratch().options());
}

inline Statement sql(std::string_view text) {
  return {text, text};  // the text is its own name: prepared once per text
}

/// What a database that is one of ours says of itself, for as long as this lives.
struct Home {
  explicit Home(int database) { move(database); }
  ~Home() { scratch().exec("DROP SCHEMA rowcrew CASCADE"); }
  void move(int database) {
    scratch().exec("DROP SCHEMA IF EXISTS rowcrew CASCADE; CREATE SCHEMA rowcrew; CREATE FUNCTION rowcrew.here() RETURNS TABLE (system bigint, database oid) "
                   "LANGUAGE sql AS 'SELECT NULL::bigint, " + std::to_string(database) + "::oid'");
  }
};

/// A coroutine that is spawned refers to its statement for as long as it runs.
inline constexpr Statement kOne{"one", "SELECT 1"};

/// An event thread with a pool.
struct PoolFixture {
  explicit PoolFixture(PoolOptions options) : pool(std::move(options), log) {}
  PoolFixture() : PoolFixture(sessions()) {}

  template <class F>
  auto run(TxMode mode, F work) {
    return testing::run(io, pool.run(mode, std::move(work)));
  }
  Rows query(std::string_view text, Params params = {}) {
    return testing::run(io, pool.query(sql(text), std::move(params)));
  }
  std::string value(std::string_view text, Params params = {}) {
    return std::string(query(text, std::move(params)).text(0, 0));
  }

  /// What is ready now; everything until no work is left.
  void poll() {
    io.restart();
    io.poll();
  }
  void drain() {
    io.restart();
    io.run();
  }

  boost::asio::io_context io{1};
  LogCapture log;
  Pool pool;
};

/// The Error that `action` throws; fails the test when there is none.
inline DbError db_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DbError& error) {
    return error;
  }
  FAIL("no DbError");
  throw 0;
}

inline std::string code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return "nothing thrown";
}

/// Asks the server until `text` is true; it waits a little between two looks.
inline void await_true(const std::string& text) {
  for (int look = 0; look < 500; ++look) {
    if (scratch().value("SELECT (" + text + ")::text FROM pg_sleep(0.02)") == "true") return;
  }
  FAIL("never true: " << text);
}

inline std::string active(const std::string& query_part, const std::string& database) {
  return "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND datname = '" + database +
         "' AND pid <> pg_backend_pid() AND query LIKE '%" + query_part + "%')";
}

}  // namespace rowcrew::testing
