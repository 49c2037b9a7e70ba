// When the application's next migration changes an adopted table: it is noticed, named, and mended.
#include "adoption_bench.hpp"
#include "runtime/table_door.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct Change {
  const char* map;
  const char* sql;
  const char* fault;
};

const Change kChanges[] = {
    {"jobs", "ALTER TABLE public.jobs RENAME error_code TO failure_code", "column error_code was renamed to failure_code"},
    {"jobs", "ALTER TABLE public.jobs DROP COLUMN worker_id", "column worker_id was dropped"},
    {"jobs", "ALTER TABLE public.jobs ALTER retry_count TYPE bigint", "column retry_count was integer and is bigint now"},
    {"jobs", "DROP TRIGGER rowcrew_file_new ON public.jobs", "trigger rowcrew_file_new is missing or disabled"},
    {"jobs", "ALTER TABLE public.jobs DISABLE TRIGGER rowcrew_hold", "trigger rowcrew_hold is missing or disabled"},
    {"jobs", "ALTER TABLE public.jobs RENAME TO tasks", "table public.jobs is called public.tasks now"},
    {"jobs", "CREATE TABLE public.more () INHERITS (public.jobs)", "table public.more inherits from it, whose rows would be no jobs of ours"},
    {"jobs", "ALTER TABLE public.jobs ENABLE REPLICA TRIGGER rowcrew_file_new", "trigger rowcrew_file_new is missing or disabled"},
    {"jobs", "DO $$ BEGIN CREATE TABLE public.more (LIKE public.jobs) PARTITION BY LIST (status); ALTER TABLE public.more ATTACH PARTITION public.jobs DEFAULT; END $$",
     "it is a partition of public.more now, and what is written to that passes our triggers by"},
    {"jobs", "DROP TABLE public.jobs", "table public.jobs was dropped"},
    {"prisma", "ALTER TYPE realign.\"JobStatus\" RENAME VALUE 'FAILED' TO 'BROKEN'",
     "column status: its type realign.\"JobStatus\" has no word 'FAILED' any more"},
};

}  // namespace

TEST_CASE("faults: what the application changed is named") {
  for (const Change& change : kChanges) {
    CAPTURE(change.sql);
    AdoptionBench b(change.map);
    b.serve();
    CHECK(b.value("SELECT coalesce(rowcrew.adopted_fault(name), 'none') FROM rowcrew.adopted_table") == "none");
    b.db.exec(change.sql);
    CHECK(b.value("SELECT coalesce(rowcrew.adopted_fault(name), 'none') FROM rowcrew.adopted_table") == change.fault);
  }
}

TEST_CASE("faults: a statement that meets the change says so, a value that is malformed does not") {
  AdoptionBench b("prisma");
  b.serve();
  b.insert(1);
  const auto claimed = b.claim(b.node());
  REQUIRE(claimed.size() == 1);
  TableDoor door(b.pool, true);
  const Rows row = b.query("SELECT epoch, template FROM rowcrew.adopted_table");
  JobTable watched(door, adopted_table_map(b.fixture.name, row.integer(0, 0), row.text(0, 1)));
  std::vector<EndedJob> ended(1);
  ended[0].job = claimed[0].job;
  ended[0].job.claim_token = 5;
  CHECK(b.await(watched.finish_completed(ended, {})).empty());
  CHECK(door.fault().empty());
  b.db.exec("ALTER TYPE realign.\"JobStatus\" RENAME VALUE 'COMPLETED' TO 'DONE'");
  const Rows again = b.query("SELECT epoch, template FROM rowcrew.adopted_table");
  JobTable later(door, adopted_table_map("later", 1, again.text(0, 1)));
  CHECK_THROWS_AS(b.await(later.finish_completed(ended, {})), DbError);
  CHECK(door.fault().find("COMPLETED") != std::string::npos);
  // By a server of any language.
  CHECK(tells_of_changed_table(DbError(ErrorClass::permanent, "22P02", "ungültiger Eingabewert für Enum »mood«: »x« at character 7", false, false)));
  CHECK_FALSE(tells_of_changed_table(DbError(ErrorClass::permanent, "22P02", "invalid input syntax for type json", false, false)));
  CHECK_FALSE(tells_of_changed_table(PortError(DbError(ErrorClass::bug, "42703", "column x", false, false))));
  CHECK(tells_of_changed_table(DbError(ErrorClass::bug, "42703", "column x", false, false)));
}

TEST_CASE("faults: whatever becomes of the columns, the application's inserts go on") {
  const struct {
    const char* map;
    const char* sql;
    const char* column;  // that an insert has to name
  } changes[] = {
      {"job_queue", "ALTER TABLE public.job_queue RENAME status TO state", "job_type"},
      {"job_queue", "ALTER TABLE public.job_queue RENAME scheduled_at TO due_at", "job_type"},
      {"job_queue", "ALTER TABLE public.job_queue RENAME id TO job_id", "job_type"},
      {"job_queue", "ALTER TABLE public.job_queue DROP scheduled_at CASCADE, ADD scheduled_at bigint DEFAULT 7", "job_type"},
      {"job_queue", "ALTER TABLE public.job_queue DROP status CASCADE, ADD status integer DEFAULT 7", "job_type"},
      {"job_queue", "ALTER TABLE public.job_queue DROP id CASCADE, ADD id text DEFAULT 'no uuid'", "job_type"},
      {"rails", "ALTER TABLE shop.background_jobs RENAME priority TO urgency", "handler"},
      {"rails", "ALTER TABLE shop.background_jobs DROP priority CASCADE, ADD priority text DEFAULT 'high'", "handler"},
      {"rails", "ALTER TABLE shop.background_jobs DROP run_at CASCADE, ADD run_at date DEFAULT now()", "handler"},
      {"rails", "ALTER TABLE shop.background_jobs DROP id CASCADE, ADD id uuid DEFAULT gen_random_uuid()", "handler"},
  };
  for (const auto& change : changes) {
    CAPTURE(change.sql);
    AdoptionBench b(change.map);
    b.serve();
    b.insert(1);
    b.db.exec(change.sql);
    CHECK_NOTHROW(b.exec(std::string("INSERT INTO {t} (") + change.column + ") VALUES ('noop')"));
  }
}

TEST_CASE("faults: a renamed key fails no insert where text is cast to its type without being asked") {
  AdoptionBench b("job_queue");
  const auto superuser = superuser_url(b.db);
  if (!superuser) {
    MESSAGE("skipped: who else may make such a cast");
    return;
  }
  PoolOptions options = b.db.options();
  options.url = *superuser;
  auto work = [](Tx& tx) { exec_script(tx, "CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT"); };
  run_once(options, TxMode::autocommit, work);
  b.serve();
  b.db.exec("ALTER TABLE public.job_queue RENAME id TO job_id");
  CHECK_NOTHROW(b.db.exec("INSERT INTO public.job_queue (job_type) VALUES ('noop')"));
}

TEST_CASE("repair: a renamed column is served again by its new name, and nothing was lost meanwhile") {
  AdoptionBench b;
  b.serve();
  b.insert(1);
  b.db.exec("ALTER TABLE public.jobs RENAME status TO state");
  b.insert(1);  // the application goes on, by whatever its columns are called
  b.exec("UPDATE {t} SET output_url = 'x'");
  CHECK_THROWS_AS(b.claim(b.node()), DbError);
  b.db.exec("SELECT rowcrew.hold_adopted(name, epoch, rowcrew.adopted_fault(name)) FROM rowcrew.adopted_table");
  std::string map = b.map_text();
  CommandAnswer answer = b.adopt(map, {"--repair"});
  CHECK(answer.code != 0);
  CHECK(answer.out.find("status: public.jobs has no column status") != std::string::npos);
  map.replace(map.find("status: status"), 14, "status: state");
  answer = b.adopt(map, {"--repair"});
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  CHECK(b.value("SELECT mode || coalesce(hold_reason, '') FROM rowcrew.adopted_table") == "serve");
  b.reopen();
  const auto claimed = b.claim(b.node());
  CHECK(claimed.size() == 2);
  CHECK(b.complete(claimed).size() == 2);
}

TEST_CASE("repair: a dropped trigger is put back, and what came without it is filed") {
  AdoptionBench b;
  b.serve();
  b.db.exec("DROP TRIGGER rowcrew_file_new ON public.jobs");
  const std::string id = b.insert(1)[0];
  CHECK(b.hints(id) == "none");
  REQUIRE(b.adopt(b.map_text(), {"--repair"}).code == 0);
  CHECK(b.hints(id) == "ready");
  b.reopen();
  CHECK(b.claim(b.node()).size() == 1);
  CHECK(b.adopt(b.map_text()).err.find("is adopted as public_jobs already; --repair") != std::string::npos);
}

TEST_CASE("repair: what waits follows a map that names another queue, where perhaps nobody looks any more") {
  AdoptionBench b;
  b.serve();
  const Ids ids = b.insert(3);
  b.exec("WITH r AS (DELETE FROM {ready} WHERE id::text = '" + ids[1] + "' RETURNING *)"
         " INSERT INTO {parked} (run_at, id, priority, queue, reason) SELECT run_at + interval '1 h', id, priority, queue, 'backoff' FROM r");
  REQUIRE(b.adopt(b.map_text() + "queue: other\n", {"--repair"}).code == 0);
  const char* where = "SELECT string_agg(DISTINCT queue || priority, ',') || count(*) FROM (SELECT * FROM {ready} UNION ALL SELECT run_at, id, priority, queue FROM {parked}) h";
  CHECK(b.value(where) == "other53");
  REQUIRE(b.adopt(b.map_text() + "queue: other\npriority: 2\n", {"--repair"}).code == 0);
  CHECK(b.value(where) == "other23");
  for (const std::string& id : ids) CHECK(b.hints(id) == "ready");
}

TEST_CASE("repair, adopt: a waiting job whose row the application moves while the table is read is filed as well") {
  AdoptionBench b;
  b.serve();
  b.exec("ALTER TABLE {t} DISABLE TRIGGER USER, ALTER output_url SET STORAGE PLAIN");
  // A row per page, of which the second is free in the end; the first and the last wait.
  b.exec("INSERT INTO {t} (drive_file_id, drive_file_name, drive_folder_id, preset_name, status, output_url) SELECT n, 'n', 'd', 'p',"
         " CASE WHEN n IN (1, 2100) THEN 'queued' ELSE 'completed' END, repeat('x', 7000) FROM generate_series(1, 2100) n");
  b.exec("DELETE FROM {t} WHERE drive_file_id = '2'");
  b.exec("VACUUM (INDEX_CLEANUP ON) {t}");
  b.exec("CREATE FUNCTION public.move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
         " UPDATE public.jobs SET file_mime_type = 'moved' WHERE drive_file_id = '2100' AND file_mime_type IS NULL; RETURN NULL; END $$;"
         "CREATE TRIGGER move AFTER INSERT ON {ready} FOR EACH STATEMENT EXECUTE FUNCTION public.move()");
  const CommandAnswer answer = b.adopt(b.map_text(), {"--repair"});
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  WARN(b.value("SELECT (ctid::text::point)[0] FROM {t} WHERE drive_file_id = '2100'") == "1");  // a snapshot may have kept the row that is gone
  CHECK(b.hints(b.value("SELECT id FROM {t} WHERE drive_file_id = '2100'")) == "ready");
  CHECK(b.hints(b.value("SELECT id FROM {t} WHERE drive_file_id = '1'")) == "ready");
}

TEST_CASE("repair: a table that is called otherwise by now goes on under the name that it had here") {
  AdoptionBench b;
  b.serve();
  b.insert(1);
  b.db.exec("ALTER TABLE public.jobs RENAME TO tasks");
  std::string map = b.map_text();
  map.replace(map.find("table: jobs"), 11, "table: tasks");
  const CommandAnswer answer = b.adopt(map, {"--repair"});
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  CHECK(b.value("SELECT name || table_name FROM rowcrew.adopted_table") == "public_jobstasks");
}

TEST_CASE("repair: a table that was dropped and made anew is served by its name again, without the jobs that are gone") {
  AdoptionBench b("jobs");
  b.serve();
  const Ids old = b.insert(3);
  REQUIRE(b.claim(b.node(), 1).size() == 1);
  b.db.exec("CREATE TABLE public.kept AS SELECT * FROM public.jobs; ALTER TABLE public.jobs RENAME TO old_jobs;"
            "CREATE TABLE public.jobs (LIKE public.old_jobs INCLUDING ALL); DROP TABLE public.old_jobs;"
            "INSERT INTO public.jobs SELECT * FROM public.kept WHERE status = 'queued'");
  const CommandAnswer answer = b.adopt(b.map_text(), {"--repair"});
  CHECK(answer.code == 0);
  CHECK(b.value("SELECT string_agg(name, ',') FROM rowcrew.adopted_table") == b.fixture.name);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "serve");
  CHECK(b.value("SELECT coalesce(rowcrew.adopted_fault(name), 'none') FROM rowcrew.adopted_table") == "none");
  b.reopen();
  CHECK(b.number("SELECT count(*) FROM {claim}") == 0);
  const auto claimed = b.claim(b.node());
  CHECK(claimed.size() == 2);
  CHECK(b.complete(claimed).size() == 2);
}

TEST_CASE("faults: a companion that is gone or may not be read is no reason for a heartbeat to fail") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(1);
  const char* overdue = "SELECT rowcrew.adopted_overdue(ARRAY['default'])";
  b.exec("UPDATE {ready} SET run_at = run_at - interval '5 s'");
  CHECK(b.value(overdue) == "t");
  b.db.exec("DROP TABLE rowcrew.public_jobs_ready");
  CHECK(b.value(overdue) == "f");
}

TEST_CASE("queues: of a table that has one queue those are told who serve it, among others or not") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(1);
  b.exec("UPDATE {ready} SET run_at = run_at - interval '5 s'");
  CHECK(b.value("SELECT rowcrew.adopted_overdue('{a,default,b}')") == "t");
  CHECK(b.value("SELECT rowcrew.adopted_overdue('{a,b}')") == "f");
  CHECK(b.await(b.jobs->pulse({"a", "default", "b"}, {})).ready);
  CHECK_FALSE(b.await(b.jobs->pulse({"a", "b"}, {})).ready);
  // Of one that a column tells any may be it.
  b.db.exec("ALTER TABLE public.jobs ADD COLUMN lane text");
  std::string map = b.map_text();
  map.insert(map.find("columns:") + 8, "\n  queue: lane");
  REQUIRE(b.adopt(map, {"--repair"}).code == 0);
  b.reopen();
  b.exec("UPDATE {t} SET lane = 'b'");
  b.exec("UPDATE {ready} SET run_at = run_at - interval '5 s'");
  CHECK(b.value("SELECT rowcrew.adopted_overdue('{a,b}')") == "t");
  CHECK(b.await(b.jobs->pulse({"a", "b"}, {})).ready);
}

TEST_CASE("copies: what is written to a copy of the table that got its triggers too is about no job of ours") {
  AdoptionBench b("jobs");
  b.serve();
  // As a tenant's schema is made from a dump.
  b.db.exec("CREATE SCHEMA acme; CREATE TABLE acme.jobs (LIKE public.jobs INCLUDING ALL); DO $$ DECLARE v text; BEGIN "
            "FOR v IN SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'public.jobs'::regclass AND NOT tgisinternal "
            "LOOP EXECUTE replace(v, ' ON public.jobs', ' ON acme.jobs'); END LOOP; END $$");
  REQUIRE(b.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'acme.jobs'::regclass") == 5);
  b.insert(2);
  const auto running = b.claim(b.node(), 1);
  REQUIRE(running.size() == 1);
  b.db.exec("INSERT INTO acme.jobs SELECT * FROM public.jobs");
  CHECK(b.number("SELECT count(*) FROM {ready}") == 1);
  b.db.exec("UPDATE acme.jobs SET status = 'processing'");
  CHECK(b.number("SELECT count(*) FROM acme.jobs WHERE status = 'processing'") == 2);
  b.db.exec("UPDATE acme.jobs SET id = gen_random_uuid() WHERE id IN (SELECT id FROM public.jobs WHERE status = 'queued')");
  b.db.exec("DELETE FROM acme.jobs");
  b.db.exec("TRUNCATE acme.jobs");
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  CHECK(b.complete(running).size() == 1);
  const auto last = b.claim(b.node(), 1);
  CHECK(b.complete(last).size() == 1);

  // Nor is it the copy that is found again after a restore: there both have other oids.
  b.exec("UPDATE rowcrew.adopted_table SET rel = 'rowcrew.meta'::regclass");
  CHECK(b.number("SELECT rowcrew.adopted_refind()") == 1);
  CHECK(b.value("SELECT rel::regclass::text FROM rowcrew.adopted_table") == "public.jobs");
  CHECK(b.rowcrew({"unadopt", "public_jobs"}).code == 0);
  CHECK(b.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'acme.jobs'::regclass") == 0);
}
