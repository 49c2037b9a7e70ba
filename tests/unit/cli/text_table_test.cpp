#include "cli/text_table.hpp"

#include <doctest/doctest.h>

#include "cli/nearest_word.hpp"

using rowcrew::cli::format_table;
using rowcrew::cli::nearest_word;

TEST_CASE("columns are as wide as their widest cell, in characters") {
  CHECK(format_table({{"A", "NUMBER"}, {"käse", "7"}, {"x", "1234567"}}, {1}) ==
        "A      NUMBER\n"
        "käse        7\n"
        "x     1234567\n");
}

TEST_CASE("a line break or an escape sequence in a cell neither breaks nor repaints the table") {
  CHECK(format_table({{"NAME", "REASON"}, {"x", "say \"no\"\n\x1b[31mred"}}) ==
        "NAME  REASON\n"
        "x     say \"no\"\\n\\u001b[31mred\n");
}

TEST_CASE("lines end without blanks") {
  CHECK(format_table({{"LONG", "B"}, {"x", ""}}) == "LONG  B\nx\n");
}

TEST_CASE("the nearest word is found among similar ones only") {
  const std::vector<std::string> words = {"migrate", "status", "tail"};
  CHECK(nearest_word("migarte", words) == "migrate");
  CHECK(nearest_word("tial", words) == "tail");
  CHECK(nearest_word("mig", words) == "migrate");
  CHECK(nearest_word("quux", words).empty());
}
