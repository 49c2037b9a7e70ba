// What a pipeline's results make of the calls that were sent: libpq's own results, without a server.
#include "pg/pipeline_answer.hpp"

#include <doctest/doctest.h>

#include <memory>

namespace rowcrew {
namespace {

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

Result made(ExecStatusType status) { return {PQmakeEmptyPGresult(nullptr, status), &PQclear}; }

Result tuples(std::vector<std::optional<std::string>> column) {
  Result result = made(PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc description{};
  description.name = name.data();
  REQUIRE(PQsetResultAttrs(result.get(), 1, &description) == 1);
  for (int row = 0; row < static_cast<int>(column.size()); ++row) {
    auto& value = column[static_cast<std::size_t>(row)];
    REQUIRE(PQsetvalue(result.get(), row, 0, value ? value->data() : nullptr, value ? static_cast<int>(value->size()) : -1) == 1);
  }
  return result;
}

void take(PipelineAnswer& answer, const Result& result) { answer.take(result.get()); }

TEST_CASE("pipeline: rows come in the order of the calls, and preparations are not among them") {
  PipelineAnswer answer;
  answer.expect_prepare("claim", "claim#1");
  answer.expect_rows("claim");
  answer.expect_rows("finish");
  take(answer, made(PGRES_COMMAND_OK));
  take(answer, tuples({"a", std::nullopt, ""}));
  take(answer, made(PGRES_COMMAND_OK));
  CHECK_FALSE(answer.complete());
  take(answer, made(PGRES_PIPELINE_SYNC));
  CHECK(answer.complete());
  CHECK_FALSE(answer.error());
  CHECK(answer.prepared() == std::vector<std::string>{"claim#1"});
  const auto rows = answer.rows();
  REQUIRE(rows.size() == 2);
  REQUIRE(rows[0].size() == 3);
  CHECK(rows[0].text(0, 0) == "a");
  CHECK(rows[0].is_null(1, 0));
  CHECK(rows[0].text(2, 0) == "");
  CHECK(rows[1].empty());
}

TEST_CASE("pipeline: the first failure is the error, and those behind it are only aborted") {
  PipelineAnswer answer;
  answer.expect_rows("finish");
  answer.expect_rows("claim");
  answer.expect_rows("more");
  take(answer, tuples({"a"}));
  take(answer, made(PGRES_FATAL_ERROR));
  take(answer, made(PGRES_PIPELINE_ABORTED));
  CHECK_FALSE(answer.complete());
  take(answer, made(PGRES_PIPELINE_SYNC));
  CHECK(answer.complete());
  REQUIRE(answer.error());
  CHECK(std::string(answer.error()->what()).starts_with("claim: "));
}

TEST_CASE("pipeline: a preparation that failed or was never tried does not stand") {
  PipelineAnswer answer;
  answer.expect_prepare("good", "good#1");
  answer.expect_rows("good");
  answer.expect_prepare("bad", "bad#1");
  answer.expect_rows("bad");
  answer.expect_prepare("behind", "behind#1");
  answer.expect_rows("behind");
  take(answer, made(PGRES_COMMAND_OK));
  take(answer, tuples({"a"}));
  take(answer, made(PGRES_FATAL_ERROR));
  for (int i = 0; i < 3; ++i) take(answer, made(PGRES_PIPELINE_ABORTED));
  take(answer, made(PGRES_PIPELINE_SYNC));
  CHECK(answer.prepared() == std::vector<std::string>{"good#1"});
  REQUIRE(answer.error());
  CHECK(std::string(answer.error()->what()).starts_with("bad: "));
}

TEST_CASE("pipeline: an error behind all calls is that of the commit") {
  PipelineAnswer answer;
  answer.expect_rows("finish");
  take(answer, tuples({"a"}));
  take(answer, made(PGRES_FATAL_ERROR));
  take(answer, made(PGRES_PIPELINE_SYNC));
  REQUIRE(answer.error());
  CHECK(std::string(answer.error()->what()).starts_with("commit: "));
}

}  // namespace
}  // namespace rowcrew
