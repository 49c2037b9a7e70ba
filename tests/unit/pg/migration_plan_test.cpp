#include "pg/migration_plan.hpp"

#include <doctest/doctest.h>

using namespace rowcrew;

namespace {

const Migration kMigrations[] = {{1, "0001_ground", "one pre", ""},
                                 {2, "0002_jobs", "two pre", "two post"},
                                 {4, "0004_drop", "", "four post"}};

std::string labels(const MigrateOptions& options) {
  std::string out;
  for (const auto& script : plan_migration(kMigrations, options)) out += script.label() + " ";
  return out;
}

}  // namespace

TEST_CASE("migration plan: versions in order, pre before post, empty halves left out") {
  CHECK(labels({}) == "0001_ground.pre 0002_jobs.pre 0002_jobs.post 0004_drop.post ");
  CHECK(labels({.step = MigrationStep::pre}) == "0001_ground.pre 0002_jobs.pre ");
  CHECK(labels({.step = MigrationStep::post}) == "0002_jobs.post 0004_drop.post ");
  CHECK(labels({.upto = 1}) == "0001_ground.pre ");
  CHECK(labels({.upto = 3}) == "0001_ground.pre 0002_jobs.pre 0002_jobs.post ");
}

TEST_CASE("migration plan: a target beyond the newest version is refused") {
  CHECK_THROWS_WITH_AS(plan_migration(kMigrations, {.upto = 5}),
                       "migration: up to version 5, expected 1 to 4", ConfigError);
  CHECK_THROWS_AS(plan_migration(kMigrations, {.upto = -1}), ConfigError);
}

TEST_CASE("migration plan: versions that do not ascend are a bug") {
  const Migration twice[] = {{1, "0001_a", "x", ""}, {1, "0001_b", "x", ""}};
  CHECK_THROWS_AS(plan_migration(twice, {}), BugError);
}

TEST_CASE("migration plan: a post step wants its own pre step first") {
  const MigrationScript post{2, "0002_jobs", "post", "two post"};
  CHECK_THROWS_WITH_AS(
      check_order(post, kMigrations, {{{1, "pre"}, ""}}),
      "migration 0002_jobs.post: its pre step has not been applied, expected it first",
      ConfigError);
  check_order(post, kMigrations, {{{1, "pre"}, ""}, {{2, "pre"}, ""}});
  check_order({4, "0004_drop", "post", "four post"}, kMigrations, {});
  check_order({2, "0002_jobs", "pre", "two pre"}, kMigrations, {});
}

TEST_CASE("migration plan: old servers and newer schemas are refused by name") {
  check_server_version(150'000);
  CHECK_THROWS_WITH_AS(check_server_version(140'009),
                       "database server: version 14.9, expected 15 or newer", ConfigError);
  check_schema_version(4, kMigrations);
  CHECK_THROWS_WITH_AS(check_schema_version(5, kMigrations),
                       "schema is at version 5, this binary knows up to 4: install a newer binary",
                       ConfigError);
}

TEST_CASE("migration plan: a script that was applied in another form is named, a new one is not") {
  const MigrationScript pre{2, "0002_jobs", "pre", "two pre"};
  CHECK(pre.fingerprint() == "0917d0c7aa5be3b69fed1a8c1df137bf1ae6abbb56bf83fa6cc4dbfbc82f0447");
  check_unchanged({{{1, "pre"}, plan_migration(kMigrations, {})[0].fingerprint()}, {{2, "pre"}, pre.fingerprint()}}, kMigrations);
  CHECK_THROWS_WITH_AS(check_unchanged({{{2, "pre"}, MigrationScript{2, "", "", "two pre "}.fingerprint()}}, kMigrations),
                       doctest::Contains("0002_jobs.pre was applied in another form"), ConfigError);
}

TEST_CASE("migration plan: the script for psql holds every text once, roles last") {
  const std::string script = migration_script(kMigrations, "GRANT something", {});
  const auto one = script.find("one pre\n"), two = script.find("two post\n"),
             roles = script.find("GRANT something");
  REQUIRE(one != std::string::npos);
  REQUIRE(two != std::string::npos);
  REQUIRE(roles != std::string::npos);
  CHECK(one < two);
  CHECK(two < roles);
  CHECK(script.find("one pre", one + 1) == std::string::npos);
  CHECK(migration_script(kMigrations, "GRANT something", {.with_roles = false}).find("GRANT") ==
        std::string::npos);
}
