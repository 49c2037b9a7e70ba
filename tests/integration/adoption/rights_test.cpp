// The triggers run with our rights, inside of statements of whoever owns the table: nothing of theirs may run there.
#include "adoption_bench.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr const char* kMap =
    "schema: evil\ntable: jobs\nname: evil_jobs\njob_type: noop\nold_worker: none\ncolumns: {status: status, queue: queue}\n"
    "states: {pending: pending, processing: processing, completed: completed, failed: failed}\n";

/// note() writes down with whose rights it runs.
void make(AdoptionBench& b) {
  b.db.exec(
      "CREATE SCHEMA evil; CREATE TABLE evil.used (who text); GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT INSERT ON evil.used TO PUBLIC;"
      "CREATE FUNCTION evil.note() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.used VALUES (current_user); RETURN true; END $$;"
      "CREATE TYPE evil.word AS ENUM ('pending', 'processing', 'completed', 'failed', 'default');"
      "CREATE TABLE evil.jobs (id integer PRIMARY KEY, status evil.word NOT NULL DEFAULT 'pending', queue evil.word DEFAULT 'default')");
  const CommandAnswer answer = b.adopt(kMap);
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
}

/// Each trigger, once.
constexpr const char* kWrites =
    "INSERT INTO evil.jobs (id) VALUES (1), (2), (3); UPDATE evil.jobs SET queue = 'failed' WHERE id = 1; UPDATE evil.jobs SET status = 'completed' WHERE id = 2;"
    "UPDATE evil.jobs SET status = 'pending' WHERE id = 2; SET rowcrew.requeue = 'on'; UPDATE evil.jobs SET status = 'pending' WHERE id = 2;"
    "UPDATE evil.jobs SET id = 4 WHERE id = 3; DELETE FROM evil.jobs WHERE id = 4;";

std::string as_owner(AdoptionBench& b) { return b.db.value("SELECT count(*) FROM evil.used WHERE who = 'rowcrew_owner'"); }

}  // namespace

TEST_CASE("adopted rights: a cast that the owner of a type has made is not run with ours" * with_roles()) {
  for (const char* kind : {"", " AS ASSIGNMENT", " AS IMPLICIT"}) {
    CAPTURE(kind);
    AdoptionBench b;
    make(b);
    b.db.exec(std::string("CREATE FUNCTION evil.say(evil.word) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note(); RETURN 'pending'; END $$;"
                          "CREATE CAST (evil.word AS text) WITH FUNCTION evil.say(evil.word)") + kind);
    b.db.exec(kWrites);
    CHECK(as_owner(b) == "0");
    CHECK(b.number("SELECT count(*) FROM rowcrew.evil_jobs_ready WHERE queue = 'failed'") == 1);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 1);
  }
}

TEST_CASE("adopted rights: a temporary type does not stand for one of the system's" * with_roles()) {
  AdoptionBench b;
  make(b);
  b.db.exec(std::string("CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (evil.note()); CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.timestamptz CHECK (evil.note());"
                        "CREATE DOMAIN pg_temp.xid8 AS pg_catalog.xid8 CHECK (evil.note());") + kWrites + "TRUNCATE evil.jobs");
  CHECK(as_owner(b) == "0");
}
