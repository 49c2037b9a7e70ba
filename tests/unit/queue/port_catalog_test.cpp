#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/error.hpp>

#include "queue/port_catalog.hpp"

using namespace rowcrew;

namespace {

const Statement kAllowed{"allowed", "SELECT {port:email_allowed}($1)"};

struct Found {
  Rows rows{4};
  Found& app(std::string_view name, std::string_view schema) { return row(name, schema, std::nullopt, std::nullopt); }
  Found& port(std::optional<std::string_view> app, std::string_view schema, std::string_view name) {
    return row(app, schema, name, std::nullopt);
  }
  Found& row(std::optional<std::string_view> app, std::string_view schema, std::optional<std::string_view> name,
             std::optional<std::string_view> fault) {
    rows.append(app);
    rows.append(schema);
    rows.append(name);
    rows.append(fault);
    return *this;
  }
};

Found defaults() {
  return Found{}.port(std::nullopt, "rowcrew", "email_allowed").port(std::nullopt, "rowcrew", "email_ended");
}

std::string ended(const PortCatalog& catalog, std::string_view job_type, std::string_view app = "") {
  const auto found = catalog.ended()->find(job_type, app);
  if (!found) return "nothing";
  const auto at = found->text.find("SELECT ");
  return std::string(found->text.substr(at + 7, found->text.find('(', at) - at - 7));
}

}  // namespace

TEST_CASE("ports: nothing is bound before the database was asked") {
  PortCatalog catalog;
  CHECK_THROWS_AS(catalog.bind(kAllowed, ""), TransientError);
  CHECK(ended(catalog, "email") == "nothing");
}

TEST_CASE("ports: without apps the defaults serve") {
  PortCatalog catalog;
  CHECK(catalog.load(defaults().rows).empty());
  CHECK(catalog.bind(kAllowed, "").text == R"(SELECT "rowcrew"."email_allowed"($1))");
  CHECK(ended(catalog, "email") == R"("rowcrew"."email_ended")");
  CHECK(ended(catalog, "webhook") == "nothing");
}

TEST_CASE("ports: an app's own function goes before the default, the only app needs no naming") {
  PortCatalog catalog;
  catalog.load(defaults().app("demo", "Demo").port("demo", "Demo", "email_allowed").rows);
  CHECK(catalog.bind(kAllowed, "demo").text == R"(SELECT "Demo"."email_allowed"($1))");
  CHECK(catalog.bind(kAllowed, "").text == R"(SELECT "Demo"."email_allowed"($1))");
  CHECK(ended(catalog, "email", "demo") == R"("rowcrew"."email_ended")");
}

TEST_CASE("ports: with two apps a job that names none gets the defaults") {
  PortCatalog catalog;
  catalog.load(defaults().app("a", "a").port("a", "a", "email_allowed").app("b", "b").port("b", "b", "x_ended").rows);
  CHECK(catalog.bind(kAllowed, "").text == R"(SELECT "rowcrew"."email_allowed"($1))");
  CHECK(catalog.bind(kAllowed, "a").text == R"(SELECT "a"."email_allowed"($1))");
  CHECK(catalog.bind(kAllowed, "b").text == R"(SELECT "rowcrew"."email_allowed"($1))");
  CHECK(ended(catalog, "x", "b") == R"("b"."x_ended")");
  CHECK(ended(catalog, "x", "a") == "nothing");
}

TEST_CASE("ports: an app that is not registered is refused by name") {
  PortCatalog catalog;
  catalog.load(defaults().rows);
  CHECK_THROWS_WITH_AS(catalog.bind(kAllowed, "ghost"),
                       "app \"ghost\": not registered, expected a name in rowcrew.app", PermanentError);
}

TEST_CASE("ports: a port that nobody defines is a bug of the kind") {
  PortCatalog catalog;
  catalog.load(defaults().rows);
  CHECK_THROWS_AS(catalog.bind(Statement{"x", "SELECT {port:absent}()"}, ""), BugError);
}

TEST_CASE("ports: a job type with dots and dashes has a port with underscores") {
  PortCatalog catalog;
  catalog.load(defaults().port(std::nullopt, "rowcrew", "my_own_type_ended").rows);
  CHECK(ended(catalog, "my.own-type") == R"("rowcrew"."my_own_type_ended")");
}

TEST_CASE("ports: a wrong signature is told and the catalog stays as it was") {
  PortCatalog catalog;
  catalog.load(defaults().rows);
  const auto faults = catalog.load(
      defaults().app("demo", "demo").row("demo", "demo", "email_allowed", "demo.email_allowed(text) returns text").rows);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0] == "port demo.email_allowed(text) returns text");
  CHECK_THROWS_AS(catalog.bind(kAllowed, "demo"), PermanentError);
  CHECK(catalog.bind(kAllowed, "").text == R"(SELECT "rowcrew"."email_allowed"($1))");
}

TEST_CASE("ports: statements handed out before a reload stay valid, those after have names of their own") {
  PortCatalog catalog;
  catalog.load(defaults().rows);
  const Statement before = catalog.bind(kAllowed, "");
  catalog.load(defaults().app("demo", "demo").port("demo", "demo", "email_allowed").rows);
  const Statement after = catalog.bind(kAllowed, "");
  CHECK(before.text == R"(SELECT "rowcrew"."email_allowed"($1))");
  CHECK(after.text == R"(SELECT "demo"."email_allowed"($1))");
  CHECK(before.name != after.name);
  catalog.load(defaults().app("demo", "demo").port("demo", "demo", "email_allowed").rows);
  CHECK(catalog.bind(kAllowed, "").name == after.name);
}
