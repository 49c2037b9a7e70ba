#include "pg/sqlstate.hpp"

#include <doctest/doctest.h>

using rowcrew::classify_sqlstate;
using rowcrew::ErrorClass;
using rowcrew::spoils_session;

TEST_CASE("sqlstate: every state has the class that its owner's retry decision needs") {
  struct Row {
    const char* state;
    ErrorClass expected;
  };
  const Row rows[] = {
      {"", ErrorClass::transient},       // no answer
      {"08006", ErrorClass::transient},  // connection failure
      {"40001", ErrorClass::transient},  // serialization failure
      {"40P01", ErrorClass::transient},  // deadlock
      {"53300", ErrorClass::transient},  // too many connections
      {"53100", ErrorClass::transient},  // disk full
      {"55P03", ErrorClass::transient},  // lock timeout
      {"57014", ErrorClass::transient},  // statement timeout
      {"57P03", ErrorClass::transient},  // starting up
      {"25006", ErrorClass::transient},  // a standby
      {"22P02", ErrorClass::permanent},  // malformed input
      {"22021", ErrorClass::permanent},  // NUL byte
      {"23505", ErrorClass::permanent},  // duplicate key
      {"23514", ErrorClass::permanent},  // check violated
      {"42P01", ErrorClass::bug},        // no such table
      {"42501", ErrorClass::bug},        // no right
      {"0A000", ErrorClass::bug},        // not supported, or a changed plan
      {"25P02", ErrorClass::bug},        // failed transaction used on
      {"55006", ErrorClass::bug},        // object in use
      {"P0001", ErrorClass::bug},        // raise exception
      {"XX000", ErrorClass::bug},        // internal error
      {"2", ErrorClass::bug},            // not a state at all
  };
  for (const Row& row : rows) {
    CAPTURE(row.state);
    CHECK(classify_sqlstate(row.state) == row.expected);
  }
}

TEST_CASE("sqlstate: a session is replaced when the server became a standby or a plan is stale") {
  CHECK(spoils_session("25006"));
  CHECK(spoils_session("0A000"));
  CHECK(spoils_session("26000"));
  CHECK(spoils_session("42501"));
  CHECK_FALSE(spoils_session("23505"));
  CHECK_FALSE(spoils_session("40001"));
  CHECK_FALSE(spoils_session(""));
  CHECK(rowcrew::is_read_only("25006"));
  CHECK_FALSE(rowcrew::is_read_only("25001"));
}
