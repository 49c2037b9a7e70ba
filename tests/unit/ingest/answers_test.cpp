#include "ingest/answers.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include <rowcrew/db_error.hpp>

using nlohmann::json;
using rowcrew::DbError;
using rowcrew::ErrorClass;
using rowcrew::Refused;

namespace {

DbError answered(const std::string& sqlstate) {
  return {ErrorClass::permanent, sqlstate, "text of the server", false, false};
}

bool has_header(const Refused& refused, std::string_view name) {
  for (const auto& [key, value] : refused.headers) {
    if (key == name) return !value.empty();
  }
  return false;
}

}  // namespace

TEST_CASE("an accepted job is 202, whether it was created now or before") {
  const auto response = rowcrew::accepted("0198", false);
  CHECK(response.status == 202);
  CHECK(json::parse(response.body) == json{{"id", "0198"}, {"created", false}});
}

TEST_CASE("a refusal becomes code and sentence, safe whatever they quote") {
  const Refused refused(400, "bad_request", "queue: \"\xff\n\", expected", {{"Allow", "POST"}});
  const auto response = rowcrew::to_response(refused);
  CHECK(response.status == 400);
  CHECK(response.headers.size() == 1);
  const json body = json::parse(response.body);
  CHECK(body["error"] == "bad_request");
  CHECK(body["message"].get<std::string>().starts_with("queue: \""));
}

TEST_CASE("each failure of the database has its answer") {
  const auto status = [](const rowcrew::Error& e) {
    return rowcrew::judge_enqueue_failure(e, false).status;
  };
  CHECK(status(answered("28000")) == 401);
  CHECK(status(answered("42501")) == 403);
  CHECK(status(answered("22P02")) == 400);
  CHECK(status(answered("22003")) == 400);
  CHECK(status(answered("23514")) == 400);
  CHECK(status(answered("53100")) == 503);
  CHECK(status(answered("57014")) == 503);
  CHECK(status(answered("42883")) == 503);
  CHECK(status(DbError(ErrorClass::transient, "", "gone", true, false)) == 503);
  CHECK(status(rowcrew::TransientError("db_busy", "full")) == 503);
  CHECK(has_header(rowcrew::judge_enqueue_failure(answered("28000"), false), "WWW-Authenticate"));
  CHECK(has_header(rowcrew::judge_enqueue_failure(answered("57014"), false), "Retry-After"));
}

TEST_CASE("only an unknown outcome says that the job may be there, and how to find out") {
  const DbError lost(ErrorClass::transient, "", "gone", true, true);
  const Refused with_key = rowcrew::judge_enqueue_failure(lost, true);
  CHECK(with_key.status == 503);
  CHECK(with_key.code() == "outcome_unknown");
  CHECK(has_header(with_key, "Retry-After"));
  CHECK(std::string(with_key.what()).find("with the same Idempotency-Key") != std::string::npos);
  CHECK(std::string(rowcrew::judge_enqueue_failure(lost, false).what())
            .find("may have been enqueued") != std::string::npos);
  CHECK(rowcrew::unavailable().code() == "unavailable");
}

TEST_CASE("a job that a trigger refuses by RAISE is 400, and not asked for again and again") {
  const Refused refused = rowcrew::judge_enqueue_failure(answered("P0001"), true);
  CHECK(refused.status == 400);
  CHECK(std::string(refused.what()) == "body: the database refused the job (SQLSTATE P0001)");
  CHECK_FALSE(has_header(refused, "Retry-After"));
}

TEST_CASE("what the server says never reaches the client") {
  for (const char* const state : {"22P02", "23514", "42501", "28000", "XX000", "P0001"}) {
    const std::string sentence = rowcrew::judge_enqueue_failure(answered(state), true).what();
    CHECK(sentence.find("text of the server") == std::string::npos);
  }
}

TEST_CASE("only what was rolled back for a passing reason is worth another try") {
  CHECK(rowcrew::worth_repeating(answered("40001")));
  CHECK(rowcrew::worth_repeating(answered("40P01")));
  CHECK(rowcrew::worth_repeating(answered("55P03")));
  CHECK_FALSE(rowcrew::worth_repeating(answered("57014")));
  CHECK_FALSE(rowcrew::worth_repeating(DbError(ErrorClass::transient, "", "gone", true, true)));
  CHECK_FALSE(rowcrew::worth_repeating(rowcrew::TransientError("db_busy", "full")));
}

TEST_CASE("a missing schema and missing rights come with the command to run") {
  CHECK(rowcrew::setup_advice(answered("42883")).find("rowcrew migrate") != std::string::npos);
  CHECK(rowcrew::setup_advice(answered("3F000")).find("rowcrew migrate") != std::string::npos);
  CHECK(rowcrew::setup_advice(answered("42501")).find("rowcrew_ingest") != std::string::npos);
  CHECK(rowcrew::setup_advice(answered("57014")).empty());
  CHECK(rowcrew::setup_advice(rowcrew::TransientError("db_busy", "full")).empty());
}
