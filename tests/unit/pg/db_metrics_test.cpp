#include "pg/db_metrics.hpp"

#include <doctest/doctest.h>

#include <string>

#include "support/exposition.hpp"

using namespace rowcrew;
using rowcrew::testing::parse_exposition;

TEST_CASE("database errors: by the class of their SQLSTATE, without an answer as a connection's") {
  SqlstateCounts counts;
  for (const char* const state : {"40001", "40P01", "", "08001", "P0001", "X"}) counts.count(state);
  const auto series = parse_exposition(db_metrics(counts, {}));
  CHECK(series.at("rowcrew_db_errors_total{sqlstate_class=\"40\"}") == 2);
  CHECK(series.at("rowcrew_db_errors_total{sqlstate_class=\"08\"}") == 3);
  CHECK(series.at("rowcrew_db_errors_total{sqlstate_class=\"P0\"}") == 1);
  CHECK(series.at("rowcrew_db_errors_total{sqlstate_class=\"57\"}") == 0);
}

TEST_CASE("database errors: an application that raises whatever it likes makes no series without end") {
  SqlstateCounts counts;
  for (int i = 0; i < 1000; ++i) counts.count((i % 100 < 10 ? "0" : "") + std::to_string(i % 100) + "000");
  const auto series = parse_exposition(db_metrics(counts, {}));
  CHECK(series.size() <= 51);
  double all = 0;
  for (const auto& [name, count] : series) all += count;
  CHECK(all == 1000);
}
