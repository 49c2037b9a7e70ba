#include <doctest/doctest.h>

#include <rowcrew/db.hpp>
#include <rowcrew/error.hpp>

using namespace rowcrew;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;
using OptionalTexts = std::vector<std::optional<std::string>>;

template <class Elements>
std::string array(const Elements& elements) {
  Params params;
  params.add_array(elements);
  REQUIRE(params.values().size() == 1);
  return params.values()[0].value();
}

}  // namespace

TEST_CASE("parameters are text, in order, absent ones NULL") {
  const std::string text = "text";
  const std::string_view view = "view";
  Params params;
  params.add("literal").add(text).add(view).add(std::string("moved"));
  params.add(std::nullopt).add(std::optional<std::string>("opt"));
  params.add(std::optional<std::string>()).add(42).add(std::uint64_t{18446744073709551615ULL});
  params.add(true).add(false).add(1500ms).add(2s).add(-1);
  const OptionalTexts expected{"literal",    "text",       "view",
                               "moved",      std::nullopt, "opt",
                               std::nullopt, "42",         "18446744073709551615",
                               "t",          "f",          "1500",
                               "2000",       "-1"};
  CHECK(params.values() == expected);
}

TEST_CASE("elements of a text array may be anything") {
  CHECK(array(Texts{}) == "{}");
  CHECK(array(Texts{"a", "b"}) == R"({"a","b"})");
  CHECK(array(Texts{""}) == R"({""})");
  CHECK(array(Texts{"NULL"}) == R"({"NULL"})");
  CHECK(array(Texts{"say \"hi\"", "back\\slash", "a,b", "{c}", " d "}) ==
        R"({"say \"hi\"","back\\slash","a,b","{c}"," d "})");
  CHECK(array(Texts{"line\nbreak", "é"}) == "{\"line\nbreak\",\"é\"}");
}

TEST_CASE("an absent element is NULL, not the word") {
  CHECK(array(OptionalTexts{"a", std::nullopt, "NULL", ""}) == R"({"a",NULL,"NULL",""})");
  CHECK(array(OptionalTexts{}) == "{}");
}

TEST_CASE("an array of numbers is bare") {
  CHECK(array(std::vector<std::int64_t>{1, -2, 9223372036854775807LL}) ==
        "{1,-2,9223372036854775807}");
  CHECK(array(std::vector<std::int64_t>{}) == "{}");
}

TEST_CASE("rows keep text, NULL and emptiness apart") {
  Rows rows(2);
  rows.append("one");
  rows.append(std::nullopt);
  rows.append("");
  rows.append("t");
  rows.set_affected(7);
  CHECK(rows.size() == 2);
  CHECK(rows.columns() == 2);
  CHECK(rows.affected() == 7);
  CHECK_FALSE(rows.empty());
  CHECK(rows.text(0, 0) == "one");
  CHECK(rows.is_null(0, 1));
  CHECK(rows.text(0, 1).empty());
  CHECK_FALSE(rows.is_null(1, 0));
  CHECK(rows.text(1, 0).empty());
  CHECK(rows.boolean(1, 1));
  CHECK_FALSE(rows.boolean(0, 0));
  CHECK_FALSE(rows.boolean(0, 1));
}

TEST_CASE("no rows: empty, with or without columns") {
  CHECK(Rows().empty());
  CHECK(Rows(3).empty());
  CHECK(Rows(3).columns() == 3);
}

TEST_CASE("a whole number is read whole or not at all") {
  Rows rows(1);
  for (const char* text : {"0", "-9223372036854775808", "12"}) rows.append(text);
  for (const char* text : {"", "12x", " 12", "1.0", "9223372036854775808"}) rows.append(text);
  rows.append(std::nullopt);
  CHECK(rows.integer(0, 0) == 0);
  CHECK(rows.integer(1, 0) == std::numeric_limits<std::int64_t>::min());
  CHECK(rows.integer(2, 0) == 12);
  for (std::size_t row = 3; row < rows.size(); ++row) {
    CAPTURE(row);
    CHECK_THROWS_AS(rows.integer(row, 0), BugError);
  }
}

TEST_CASE("a cell that is not there is a bug, not a read beyond the end") {
  Rows rows(2);
  rows.append("a");
  rows.append("b");
  CHECK_THROWS_AS(rows.text(1, 0), BugError);
  CHECK_THROWS_AS(rows.text(0, 2), BugError);
  CHECK_THROWS_AS(rows.is_null(9, 9), BugError);
  CHECK_THROWS_AS(Rows().text(0, 0), BugError);
}
