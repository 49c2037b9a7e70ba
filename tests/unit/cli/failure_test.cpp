// What a person is told about an error, and the exit code with it.
#include "cli/failure.hpp"

#include <doctest/doctest.h>

#include <rowcrew/db_error.hpp>

using namespace rowcrew;
using rowcrew::cli::judge_failure;

TEST_CASE("failure: an unknown name means rowcrew migrate only where our schema is missing or old, else it is somebody's own") {
  for (const char* state : {"3F000", "42P01", "42883", "42703"}) {
    CAPTURE(state);
    const DbError error(ErrorClass::bug, state, "function shop.gone() does not exist", false, false);
    const auto old = judge_failure(error, [] { return true; });
    CHECK(old.exit_code == 78);
    CHECK(old.message.find("run: rowcrew migrate") != std::string::npos);
    const auto other = judge_failure(error, [] { return false; });
    CHECK(other.exit_code == 1);
    CHECK(other.message == "function shop.gone() does not exist");
  }
}

TEST_CASE("failure: nobody asks for the schema where it explains nothing") {
  const auto never = []() -> bool { throw std::logic_error("asked"); };
  CHECK(judge_failure(DbError(ErrorClass::bug, "42501", "denied", false, false), never).exit_code == 1);
  CHECK(judge_failure(DbError(ErrorClass::transient, "", "away", true, false), never).exit_code == 69);
  CHECK(judge_failure(UsageError("u"), never).exit_code == 64);
}

TEST_CASE("failure: a command whose answer was lost does not pass for one that reached no database") {
  const auto never = []() -> bool { throw std::logic_error("asked"); };
  const auto lost = judge_failure(DbError(ErrorClass::transient, "40003", "gone", true, true), never);
  CHECK(lost.exit_code == 1);
  CHECK(lost.message == "gone (the answer is lost, it may have been done)");
}
