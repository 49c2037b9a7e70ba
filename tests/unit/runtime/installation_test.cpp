#include "runtime/installation.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

Installation fitting() {
  Installation found;
  found.schema_present = true;
  found.id = "0d9f2b64";
  found.schema_version = 4;
  found.min_binary = 2;
  return found;
}

/// The sentence, or "works".
std::string said(const Installation& found, int built_for) {
  return refusal(found, built_for).value_or("works");
}

TEST_CASE("installation: a program works on its own schema, and on a newer one that allows it") {
  CHECK(said(fitting(), 4) == "works");
  Installation newer = fitting();
  newer.schema_version = 9;
  newer.min_binary = 4;
  CHECK(said(newer, 4) == "works");
}

TEST_CASE("installation: without a schema the sentence names the command") {
  CHECK(said(Installation{}, 4) ==
        "schema rowcrew: not found in this database: run \"rowcrew migrate\"");
}

TEST_CASE("installation: where somebody has emptied the table of the installation, the command that fills it is named") {
  Installation found;
  found.schema_present = true;
  found.row_present = false;
  CHECK(said(found, 4) == "rowcrew.meta: empty, expected its one row: run \"rowcrew takeover\"");
}

TEST_CASE("installation: an older schema is to be migrated first") {
  CHECK(said(fitting(), 5) ==
        "schema rowcrew: at version 4, this program needs 5: run \"rowcrew migrate\"");
}

TEST_CASE("installation: a schema that has moved on wants a newer program") {
  Installation found = fitting();
  found.schema_version = 7;
  found.min_binary = 5;
  CHECK(
      said(found, 4) ==
      "schema rowcrew: needs programs built for version 5 or newer, this one knows 4: install the "
      "newer package");
}

TEST_CASE("installation: a copy of a database is not worked on until it is taken over") {
  Installation found = fitting();
  found.home = false;
  CHECK(said(found, 4) ==
        "installation 0d9f2b64: belongs to another server or database, this looks like a restored "
        "copy: run \"rowcrew takeover\" to let the fleet work here");
}

TEST_CASE("installation: what must be mended first is said first") {
  Installation found = fitting();
  found.home = false;
  found.schema_version = 3;
  CHECK(said(found, 4).find("rowcrew migrate") != std::string::npos);
}

}  // namespace
}  // namespace rowcrew
