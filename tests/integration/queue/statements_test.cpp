// Every statement of sql/queries against the schema as it is.
#include <map>
#include <set>
#include <string>

#include "pg/statement_template.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The comment lines that a statement begins with.
std::string head_of(std::string_view text) {
  std::string head;
  while (text.starts_with("--")) {
    const auto end = text.find('\n');
    head += text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return head;
}

}  // namespace

TEST_CASE("statements: each one prepares against the schema, for both job tables") {
  const TempDatabase db;
  db.exec("CREATE FUNCTION rowcrew.probe_ended(uuid, jsonb) RETURNS void LANGUAGE sql AS ''");
  const Rows ports = db.query("SELECT name FROM rowcrew.port");
  std::set<std::string_view> seen;
  for (const char* table : kJobTables) {
    auto values = table_map(table).values;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      values["port:" + std::string(ports.text(i, 0))] = "rowcrew." + std::string(ports.text(i, 0));
    }
    values["ended"] = "rowcrew.probe_ended";
    values["call"] = "NULL";
    values["call_one"] = "NULL";
    values["after_call"] = "NULL";
    values["args"] = "NULL::jsonb";
    StatementSet set(values, table);
    for (const Statement& source : sql::kAll) {
      const std::string_view name = source.name;
      if (name.starts_with("adopted/")) continue;  // tests/integration/adoption prepares them
      CAPTURE(table);
      CAPTURE(name);
      const Statement rendered = set.render(source);
      CHECK(rendered.text.find("{") == std::string_view::npos);
      CHECK_NOTHROW(db.exec("PREPARE probe AS " + std::string(rendered.text)));
      seen.insert(name);
    }
  }
  for (const Statement& source : sql::kAll) {
    if (source.name.starts_with("adopted/")) seen.insert(source.name);
  }
  CHECK(seen.size() == std::size(sql::kAll));
  CHECK(seen.size() > 40);
}

TEST_CASE("statements: each begins with a comment of its own, by which its executions are known") {
  std::map<std::string, std::string> heads;
  for (const Statement& source : sql::kAll) {
    const std::string name(source.name);
    CAPTURE(name);
    const std::string head = head_of(source.text);
    CHECK(head.size() > 10);
    const auto inserted = heads.emplace(head, name);
    CHECK_MESSAGE(inserted.second, "the same as in " << inserted.first->second);
  }
}

TEST_CASE("statements: none relies on a search path, a session setting or a session lock") {
  for (const Statement& source : sql::kAll) {
    const std::string name(source.name);
    CAPTURE(name);
    // The leader's connection is its own and never behind a transaction pooler.
    if (name.starts_with("gate/")) continue;
    const std::string text(source.text.substr(head_of(source.text).size()));
    for (const char* word :
         {"pg_advisory_lock", "pg_try_advisory_lock", "SET SESSION", "current_schema",
          "CREATE TEMP", "LISTEN", " now()", "(now()", "CURRENT_TIMESTAMP"}) {
      CHECK(text.find(word) == std::string::npos);
    }
    // Semicolons would make it several statements.
    CHECK(text.find(';') == std::string::npos);
  }
}
