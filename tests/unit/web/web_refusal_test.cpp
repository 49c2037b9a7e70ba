#include "web/web_refusal.hpp"

#include <doctest/doctest.h>

#include <rowcrew/db_error.hpp>

#include "web/page_files.hpp"

using rowcrew::DbError;
using rowcrew::ErrorClass;
using rowcrew::web::judge_web_failure;
using rowcrew::web::page_file;
using rowcrew::web::WebRefusal;

namespace {

WebRefusal judged(const char* sqlstate, bool looking = true, bool outcome_unknown = false) {
  const DbError error(ErrorClass::permanent, sqlstate, "what the server says", outcome_unknown, outcome_unknown);
  return judge_web_failure(std::make_exception_ptr(error), looking);
}

}  // namespace

TEST_CASE("web refusal: what the database refuses is told by whose fault it is") {
  CHECK(judged("22023").status == 400);
  CHECK(judged("22021").status == 400);  // a NUL, or no UTF-8
  CHECK(judged("42501").status == 403);
  CHECK(judged("57014").code() == "too_slow");
  CHECK(judged("42P01").code() == "schema");
  CHECK(judged("08006").code() == "database");
}

TEST_CASE("web refusal: a reader is told the sentence, not which statement said it") {
  const DbError refused(ErrorClass::permanent, "22023", "cli/jobs: filter.status: 'asleep', expected another (22023)", false, false);
  CHECK(std::string(judge_web_failure(std::make_exception_ptr(refused), true).what()) == "filter.status: 'asleep', expected another");
  CHECK(std::string(judged("22023").what()) == "what the server says");
}

TEST_CASE("web refusal: after a lost answer an act may have been done, a look has not") {
  CHECK(judged("08006", false, true).code() == "outcome_unknown");
  CHECK(judged("08006", true, true).code() == "database");
}

TEST_CASE("web refusal: a mistake of the program is nobody's answer") {
  CHECK_THROWS_AS(judge_web_failure(std::make_exception_ptr(rowcrew::BugError("bug", "a mistake")), true), rowcrew::BugError);
}

TEST_CASE("web page: its files come with headers that let nothing foreign in") {
  for (const char* path : {"/", "/index.html", "/app.js", "/app.css"}) {
    CAPTURE(path);
    const auto response = page_file(path);
    CHECK(response.status == 200);
    CHECK_FALSE(response.body.empty());
    CHECK(response.headers.front().first == "Content-Security-Policy");
    CHECK(response.headers.front().second.find("default-src 'none'") == 0);
  }
}

TEST_CASE("web page: there are no files but its own") {
  for (const char* path : {"", "/x", "/../app.js", "//app.js", "/app.js/", "/etc/passwd"}) {
    CAPTURE(path);
    CHECK_THROWS_AS(page_file(path), WebRefusal);
  }
}
