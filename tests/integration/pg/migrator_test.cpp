#include "pg/migrator.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/event.hpp"
#include "pg/statement_template.hpp"
#include "pg_fixture.hpp"
#include "support/db/login_role.hpp"
#include "schema/schema.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

using Content = TempDatabase::Content;

const Migration kMigrations[] = {
    {1, "0001_ground", "CREATE TABLE rowcrew.ground (x int); INSERT INTO rowcrew.ground VALUES (1)",
     ""},
    {2, "0002_more", "ALTER TABLE rowcrew.ground ADD y int",
     "ALTER TABLE rowcrew.ground DROP COLUMN x"},
};

MigrateResult run_migrate(const TempDatabase& database, const MigrateOptions& options = {},
                          std::span<const Migration> migrations = kMigrations,
                          std::string_view roles = "SELECT 1") {
  LogCapture log;
  return migrate(database.options(), migrations, roles, options, log);
}

std::string seen(const TempDatabase& database) {
  return database.value(
      "SELECT coalesce(string_agg(name || '.' || step, ' ' ORDER BY version, "
      "step DESC), '') FROM rowcrew.schema_migration");
}

/// psql's exit status.
int run_psql(const TempDatabase& database, const std::string& script) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("rowcrew-migrate-" + std::to_string(::getpid()) + ".sql");
  std::ofstream(file) << script;
  const int status = std::system(
      ("psql -X -q -f '" + file.string() + "' '" + database.url() + "' >/dev/null 2>&1").c_str());
  std::filesystem::remove(file);
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("migrator: applies everything once; again finds nothing to do") {
  TempDatabase database(Content::empty);
  LogCapture log;
  const MigrateResult first = migrate(database.options(), kMigrations, "SELECT 1", {}, log);
  CHECK(first.from == 0);
  CHECK(first.to == 2);
  CHECK(first.applied ==
        std::vector<std::string>{"0001_ground.pre", "0002_more.pre", "0002_more.post"});
  CHECK(seen(database) == "0001_ground.pre 0002_more.pre 0002_more.post");
  REQUIRE(log.lines(event::kSchemaMigrated).size() == 3);
  CHECK(log.lines(event::kSchemaMigrated)[2].field("version") == "2");
  CHECK(log.lines(event::kSchemaMigrated)[2].field("step") == "post");

  const MigrateResult second = run_migrate(database);
  CHECK(second.from == 2);
  CHECK(second.to == 2);
  CHECK(second.applied.empty());
}

TEST_CASE("migrator: a database far away is not asked about each script that it has") {
  TempDatabase database(Content::empty);
  PgProxy proxy(database.url());
  PoolOptions far = database.options();
  far.url = proxy.url();
  std::vector<Migration> many;
  for (int version = 1; version <= 40; ++version) many.push_back({version, "0000_nothing", "SELECT 1", ""});
  LogCapture log;
  CHECK(migrate(far, many, "SELECT 1", {}, log).applied.size() == 40);
  const unsigned before = proxy.answers();
  CHECK(migrate(far, many, "SELECT 1", {}, log).applied.empty());
  CHECK(proxy.answers() - before < 40);
}

TEST_CASE("migrator: pre and post go separately, and a target may be named") {
  TempDatabase database(Content::empty);
  CHECK_THROWS_AS(run_migrate(database, {.step = MigrationStep::post}), ConfigError);
  CHECK(run_migrate(database, {.upto = 1}).to == 1);
  CHECK(run_migrate(database, {.step = MigrationStep::pre}).applied ==
        std::vector<std::string>{"0002_more.pre"});
  CHECK(run_migrate(database, {.step = MigrationStep::post}).applied ==
        std::vector<std::string>{"0002_more.post"});
}

TEST_CASE("migrator: four at once apply every script once") {
  TempDatabase database(Content::empty);
  std::atomic<int> applied{0}, failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      try {
        applied += static_cast<int>(run_migrate(database).applied.size());
      } catch (const std::exception&) {
        ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(applied == 3);
  CHECK(database.value("SELECT count(*) FROM rowcrew.ground") == "1");
}

TEST_CASE("migrator: a script that fails leaves nothing of itself") {
  TempDatabase database(Content::empty);
  const Migration broken[] = {
      kMigrations[0],
      {2, "0002_broken", "CREATE TABLE rowcrew.half (x int); SELECT 1/0", ""},
      {3, "0003_never", "CREATE TABLE rowcrew.never (x int)", ""}};
  const DbError error = db_error_of([&] { run_migrate(database, {}, broken); });
  CHECK(error.sqlstate() == "22012");
  CHECK(std::string(error.what()).starts_with("migration 0002_broken.pre: "));
  CHECK(seen(database) == "0001_ground.pre");
  CHECK(database.query("SELECT to_regclass('rowcrew.half')").is_null(0, 0));
}

TEST_CASE("migrator: a schema newer than the binary is refused") {
  TempDatabase database(Content::empty);
  run_migrate(database);
  database.exec("INSERT INTO rowcrew.schema_migration VALUES (7, 'pre', '0007_future', '')");
  CHECK_THROWS_WITH_AS(run_migrate(database),
                       "schema is at version 7, this binary knows up to 2: install a newer binary",
                       ConfigError);
}

TEST_CASE("migrator: a schema that another form of a script made is refused, by the script for psql too") {
  const Migration other[] = {kMigrations[0], {2, "0002_more", "ALTER TABLE rowcrew.ground ADD y bigint", kMigrations[1].post}};
  TempDatabase database(Content::empty);
  run_migrate(database);
  CHECK_THROWS_WITH_AS(run_migrate(database, {}, other), doctest::Contains("schema: 0002_more.pre was applied in another form"), ConfigError);
  CHECK(run_psql(database, migration_script(other, "SELECT 1;", {})) == 3);
  CHECK(run_migrate(database).applied.empty());
}

TEST_CASE("migrator: a copy of the schema without its data is told what it is, by the script for psql too") {
  TempDatabase database(Content::empty);
  run_migrate(database);
  database.exec("DELETE FROM rowcrew.schema_migration");
  CHECK_THROWS_WITH_AS(run_migrate(database), doctest::Contains("schema rowcrew: has tables and no record of a migration"), ConfigError);
  CHECK(run_psql(database, migration_script(kMigrations, "SELECT 1;", {})) == 3);
  database.exec("DROP SCHEMA rowcrew CASCADE");
  CHECK(run_migrate(database).applied.size() == 3);
}

TEST_CASE("migrator: roles come last, in every run, and not at all where they are managed") {
  TempDatabase database(Content::empty);
  constexpr std::string_view kRoles =
      "CREATE TABLE IF NOT EXISTS rowcrew.granted (n int); "
      "INSERT INTO rowcrew.granted SELECT count(*) FROM rowcrew.schema_migration";
  run_migrate(database, {.with_roles = false}, kMigrations, kRoles);
  CHECK(database.query("SELECT to_regclass('rowcrew.granted')").is_null(0, 0));
  run_migrate(database, {}, kMigrations, kRoles);
  run_migrate(database, {}, kMigrations, kRoles);
  CHECK(database.value("SELECT string_agg(n::text, ',') FROM rowcrew.granted") == "3,3");
}

TEST_CASE("migrator: functions that run with the owner's rights are granted to nobody by it, by the script for psql neither") {
  constexpr std::string_view kEverybodys =
      "SELECT count(*) FILTER (WHERE prosecdef), count(*) FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a "
      "WHERE pronamespace = 'rowcrew'::regnamespace AND a.grantee = 0";
  const Migration migrations[] = {{1, "0001_ground", "CREATE FUNCTION rowcrew.mighty() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
                                                     "CREATE FUNCTION rowcrew.plain() RETURNS int LANGUAGE sql AS 'SELECT 1'", ""}};
  const auto held = [&](const TempDatabase& database) {
    const Rows rows = database.query(kEverybodys);
    CHECK(rows.integer(0, 0) == 0);
    CHECK(rows.integer(0, 1) == 1);
  };
  TempDatabase by_us(Content::empty), by_psql(Content::empty);
  run_migrate(by_us, {.with_roles = false}, migrations);
  held(by_us);
  CHECK(run_psql(by_psql, migration_script(migrations, "", {.with_roles = false})) == 0);
  held(by_psql);
}

TEST_CASE("migrator: two databases of one server may make the same role at once" * with_roles()) {
  const std::string role = "rowcrew_t_role_" + std::to_string(::getpid());
  const std::string roles = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" +
                            role + "') THEN CREATE ROLE " + role + "; END IF; ALTER ROLE " + role +
                            " NOLOGIN; END $$";
  TempDatabase databases[] = {TempDatabase(Content::empty), TempDatabase(Content::empty),
                              TempDatabase(Content::empty)};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (const TempDatabase& database : databases) {
    threads.emplace_back([&] {
      try {
        for (int i = 0; i < 10; ++i) run_migrate(database, {}, kMigrations, roles);
      } catch (const std::exception& error) {
        MESSAGE(error.what());
        ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  databases[0].exec("DROP ROLE " + role);
}

TEST_CASE("migrator: an owner who may not create schemas migrates a schema made for him" * with_roles()) {
  TempDatabase database(Content::empty);
  const std::string role = "rowcrew_t_owner_" + std::to_string(::getpid());
  database.exec("CREATE ROLE " + role + " LOGIN; GRANT " + role + " TO CURRENT_USER; " +
                "CREATE SCHEMA rowcrew AUTHORIZATION " + role);
  PoolOptions options = *direct_options(database.options());
  options.url += "&options=-c%20role%3D" + role;
  LogCapture log;
  CHECK(migrate(options, kMigrations, "SELECT 1", {}, log).to == 2);
  CHECK(database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'ground'") == role);
  database.exec("DROP SCHEMA rowcrew CASCADE; DROP ROLE " + role);
}

TEST_CASE("migrator: whoever cannot become a member of rowcrew_owner is told whom to ask for what" * with_roles()) {
  TempDatabase database(Content::empty);
  LogCapture log;
  migrate(database.options(), schema::migrations(), schema::roles(), {}, log);  // that there are such roles
  TempDatabase theirs(Content::empty);
  const LoginRole other(theirs, "");
  const auto creates = [&](const std::string& verb) {
    theirs.exec("DO $$ BEGIN EXECUTE format('" + verb + " " + other.name() + "', current_database()); END $$");
  };
  creates("GRANT CREATE ON DATABASE %I TO");
  PoolOptions options = *direct_options(theirs.options());
  options.url = other.url();
  std::string told;
  try {
    migrate(options, schema::migrations(), schema::roles(), {}, log);
  } catch (const DbError& e) {
    CHECK(e.sqlstate() == "42501");
    told = e.what();
  }
  CHECK(told.find("GRANT rowcrew_owner TO " + other.name()) != std::string::npos);
  theirs.exec("GRANT rowcrew_owner TO " + other.name());
  CHECK(migrate(options, schema::migrations(), schema::roles(), {}, log).applied.empty());
  CHECK(theirs.value("SELECT tableowner FROM pg_tables WHERE schemaname = 'rowcrew' AND tablename = 'job_queue'") == "rowcrew_owner");
  theirs.exec("DROP SCHEMA rowcrew CASCADE");
  creates("REVOKE CREATE ON DATABASE %I FROM");
}

TEST_CASE("migrator: works through a transaction pooler's rules, too") {
  TempDatabase database(Content::empty);
  PoolOptions options = database.options();
  options.pooled = true;
  LogCapture log;
  CHECK(migrate(options, kMigrations, "SELECT 1", {}, log).applied.size() == 3);
}

TEST_CASE("migrator: the script for psql does the same, and may run again") {
  TempDatabase database(Content::empty);
  const std::string script = migration_script(kMigrations, "SELECT 1;", {});
  CHECK(run_psql(database, script) == 0);
  CHECK(seen(database) == "0001_ground.pre 0002_more.pre 0002_more.post");
  CHECK(run_psql(database, script) == 0);
  CHECK(run_migrate(database).applied.empty());
  database.exec("INSERT INTO rowcrew.schema_migration VALUES (7, 'pre', '0007_future', '')");
  CHECK(run_psql(database, script) == 3);
}

TEST_CASE("migrator: the real schema arrives by both ways alike" * with_roles()) {
  TempDatabase by_us(Content::migrated), by_psql(Content::empty);
  CHECK(run_psql(by_psql, migration_script(schema::migrations(), schema::roles(), {})) == 0);
  constexpr std::string_view kColumns =
      "SELECT md5(string_agg(concat_ws('|', table_name, column_name, data_type, column_default), "
      "',' ORDER BY table_name, column_name)) || count(*) FROM information_schema.columns "
      "WHERE table_schema = 'rowcrew'";
  CHECK(by_us.value(kColumns) == by_psql.value(kColumns));
  CHECK(seen(by_us) == seen(by_psql));
  const MigrateResult again = run_migrate(by_psql, {}, schema::migrations(), schema::roles());
  CHECK(again.applied.empty());
  CHECK(again.to == schema::version());
}
