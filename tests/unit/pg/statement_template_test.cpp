#include "pg/statement_template.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

using namespace rowcrew;

TEST_CASE("statement template: placeholders become their values, names carry the table") {
  StatementSet set({{"table", R"("shop"."job_queue")"}, {"port:done", "shop.done"}}, "job_queue");
  const Statement& claim =
      set.render({"node/claim", "UPDATE {table} SET x = {port:done}($1) WHERE {table}.id = $2"});
  CHECK(claim.name == "node/claim:job_queue");
  CHECK(claim.text ==
        R"(UPDATE "shop"."job_queue" SET x = shop.done($1) WHERE "shop"."job_queue".id = $2)");
}

TEST_CASE("statement template: a statement is rendered once and stays where it is") {
  StatementSet set({{"table", "t"}}, "t");
  const Statement& first = set.render({"a", "SELECT 1 FROM {table}"});
  for (int i = 0; i < 100; ++i) set.render({"b" + std::to_string(i), "SELECT {table}"});
  CHECK(&set.render({"a", "SELECT 1 FROM {table}"}) == &first);
  CHECK(first.text == "SELECT 1 FROM t");
}

TEST_CASE("statement template: without a suffix names are unchanged") {
  StatementSet set({}, "");
  CHECK(set.render({"clock", "SELECT now()"}).name == "clock");
}

TEST_CASE("statement template: doubled braces are literal, values are not read again") {
  StatementSet set({{"x", "{table}"}}, "");
  CHECK(set.render({"json", "SELECT '{{}'::jsonb, '{{1,2}', {x} -- }"}).text ==
        "SELECT '{}'::jsonb, '{1,2}', {table} -- }");
}

TEST_CASE("statement template: a placeholder without a value and an open brace are bugs") {
  StatementSet set({{"table", "t"}}, "");
  CHECK_THROWS_WITH_AS(set.render({"a", "SELECT {tabel}"}),
                       R"(statement a: placeholder "{tabel}" has no value)", BugError);
  CHECK_THROWS_WITH_AS(set.render({"b", "SELECT {table"}), R"(statement b: "{" without "}")",
                       BugError);
  CHECK_THROWS_AS(set.render({"c", "SELECT '{}'::jsonb"}), BugError);
}

TEST_CASE("statement template: identifiers are quoted, quotes doubled") {
  CHECK(quote_qualified("rowcrew", "job_queue") == R"("rowcrew"."job_queue")");
  CHECK(quote_qualified("My App", R"(odd"name)") == R"("My App"."odd""name")");
  CHECK(quote_identifier("a.b") == R"("a.b")");
}

TEST_CASE("statement template: replaced values are for what is rendered from then on, under another name") {
  StatementSet set({{"table", "a"}}, "jobs");
  const Statement& before = set.render({"claim", "SELECT 1 FROM {table}"});
  set.replace({{"table", "b"}}, "jobs@2", {{"claim", Statement{"adopted/claim", "SELECT 2 FROM {table}"}}});
  const Statement& after = set.render({"claim", "SELECT 1 FROM {table}"});
  CHECK(before.text == "SELECT 1 FROM a");
  CHECK(before.name == "claim:jobs");
  CHECK(after.text == "SELECT 2 FROM b");
  CHECK(after.name == "claim:jobs@2");
  CHECK(set.render({"promote", "SELECT 3 FROM {table}"}).text == "SELECT 3 FROM b");
}
