// The port of the kind, in the default and in an app's own schema.
#include <doctest/doctest.h>

#include "pg/pool.hpp"
#include "queue/port_catalog.hpp"
#include "sql_queries.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"
#include "workers/usage_reset/usage_reset_handler.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct Bench : KindBench {
  Bench() : KindBench("{}"), pool(db.options(), log) {}

  std::string reset(const std::string& app) {
    job.app = app;
    const auto faults = catalog.load(db.query(sql::node_ports.text));
    REQUIRE(faults.empty());
    usage_reset::UsageResetHandler handler(with);
    return std::get<Completed>(run(handler, "{}")).result;
  }

  TempDatabase db;  ///< hides the base's, which refuses
  Pool pool;
  PortCatalog catalog;
  Deps with{pool, catalog, http, mail, children, clock, random, log, kinds};
};

}  // namespace

TEST_CASE("usage reset: without a port of its own an app has nothing to reset") {
  Bench b;
  CHECK(b.reset("") == R"({"opened":0})");
}

TEST_CASE("usage reset: an app's own port is called, and what it does stays done") {
  Bench b;
  b.db.exec(
      "CREATE SCHEMA shop; CREATE TABLE shop.period (account int PRIMARY KEY, open boolean);"
      "INSERT INTO shop.period SELECT n, false FROM generate_series(1, 3) n;"
      "CREATE FUNCTION shop.usage_reset() RETURNS integer LANGUAGE plpgsql AS $$ DECLARE n integer; "
      "BEGIN UPDATE shop.period SET open = true WHERE NOT open; GET DIAGNOSTICS n = ROW_COUNT; "
      "RETURN n; END $$;"
      "INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
  CHECK(b.reset("shop") == R"({"opened":3})");
  CHECK(b.reset("shop") == R"({"opened":0})");
  CHECK(b.db.value("SELECT count(*) FROM shop.period WHERE open") == "3");
  // The only app there is needs no name.
  b.db.exec("UPDATE shop.period SET open = false WHERE account = 1");
  CHECK(b.reset("") == R"({"opened":1})");
  CHECK_THROWS_AS(b.reset("stranger"), PermanentError);
}
