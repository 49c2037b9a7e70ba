// Maps and tables that cannot be served are refused with a sentence, and nothing is changed.
#include "adoption_bench.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr const char* kStates = "states: {pending: pending, processing: processing, completed: completed, failed: failed}\n";

std::string map_of(const std::string& table, const std::string& more = "") {
  return "table: " + table + "\njob_type: noop\nzone: UTC\nold_worker: none\n" + (more.find("states:") == std::string::npos ? kStates : "") + more;
}

struct Refusal {
  const char* name;
  const char* ddl;
  const char* table;
  const char* more;
  const char* says;
};

const Refusal kRefusals[] = {
    {"an unknown key", "", "plain", "colums: {status: status}\n", "unknown key, did you mean columns?"},
    {"a missing type", "", "plain", "columns: {job_type: kind}\n", "job_type: given as a constant and as columns.job_type"},
    {"a word twice", "", "plain", "states: {pending: a, processing: a, completed: c, failed: d}\n", "states.processing: \"a\" is the word for pending already"},
    {"a column twice", "", "plain", "columns: {error_code: note, error_message: note}\n", "column \"note\" is error_code already"},
    {"an unknown column", "", "plain", "columns: {status: state}\n", "status: public.plain has no column state"},
    {"a column that is spelled otherwise", "", "plain", "columns: {error_message: lasterror}\n", "is last_error meant?"},
    {"a column of another type", "", "plain", "columns: {attempts: note}\n", "attempts: column note is of type text, expected a whole number"},
    {"an unknown state to run again from", "", "plain", "requeue: [processing]\n", "\"processing\" is no state that a job is run again from"},
    {"braces", "", "\"{x}\"", "", "expected a name without braces"},
    {"no such table", "", "missing", "", "public.missing: there is no such table"},
    {"another case", "CREATE TABLE \"Upper\" (id int PRIMARY KEY, status text)", "upper", "", "names are case-sensitive"},
    {"a composite key", "CREATE TABLE two (id int, b int, status text, PRIMARY KEY (id, b))", "two", "", "has a key of several columns"},
    {"no key", "CREATE TABLE keyless (id int NOT NULL, status text)", "keyless", "", "CREATE UNIQUE INDEX CONCURRENTLY ON public.keyless (id);"},
    {"a key that may be null", "CREATE TABLE nullable (id int UNIQUE, status text)", "nullable", "", "ALTER TABLE public.nullable ALTER id SET NOT NULL;"},
    {"a key of a strange type", "CREATE TABLE strange (id numeric PRIMARY KEY, status text)", "strange", "", "is of type numeric, expected uuid"},
    {"a view", "CREATE VIEW looked AS SELECT 1 AS id, 'pending' AS status", "looked", "", "public.looked is a view"},
    {"a partitioned table", "CREATE TABLE parts (id int PRIMARY KEY, status text) PARTITION BY HASH (id)", "parts", "", "is a partitioned table"},
    {"a partition", "CREATE TABLE parts (id int PRIMARY KEY, status text) PARTITION BY HASH (id);"
     "CREATE TABLE one PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)", "one", "", "is a partition"},
    {"an unlogged table", "CREATE UNLOGGED TABLE light (id int PRIMARY KEY, status text)", "light", "", "ALTER TABLE public.light SET LOGGED;"},
    {"a table with children", "CREATE TABLE child () INHERITS (plain)", "plain", "", "children that inherit"},
    {"a word that the enum has not", "CREATE TYPE mood AS ENUM ('pending', 'processing', 'completed'); CREATE TABLE enums (id int PRIMARY KEY, status mood)",
     "enums", "", "states.failed: type public.mood of column status has no word 'failed'"},
    {"a word that a constraint forbids", "ALTER TABLE plain ADD CHECK (status IN ('pending', 'running', 'completed', 'failed'))", "plain", "",
     "states.processing: constraint plain_status_check of public.plain does not allow 'processing'"},
    {"a word that the column is too short for", "ALTER TABLE plain ALTER status TYPE varchar(9)", "plain", "",
     "states.processing: 'processing' is too long for column status, which is of type character varying(9)"},
    {"a key given twice", "", "plain", "zone: Mars/Olympus\n", "zone is given twice"},
    {"SQL that is no expression", "", "plain", "payload: 'note FROM plain; DROP TABLE plain'\n", "payload: "},
    {"a payload over a column that is not there", "", "plain", "payload: jsonb_build_object('a', nothing)\n", "payload: "},
    {"an error where nothing else may be", "ALTER TABLE plain ADD e jsonb NOT NULL DEFAULT '{}'", "plain", "columns: {error_message: e}\n",
     "error_message: column e may not be null, and has to be when a job has met no error"},
    {"a time that is touched and a role too", "ALTER TABLE plain ADD u timestamptz", "plain", "columns: {started_at: u}\ntouch: [u]\n",
     "started_at, touch: column u is written twice"},
    {"a time that is touched twice", "ALTER TABLE plain ADD u timestamptz", "plain", "touch: [u, u]\n", "column u is written twice"},
    {"a generated column", "ALTER TABLE plain ADD n int GENERATED ALWAYS AS (id + 1) STORED", "plain", "columns: {attempts: n}\n",
     "attempts: column n is generated, and has to be written"},
    {"an enum for the name of a worker", "CREATE TYPE mood AS ENUM ('a'); ALTER TABLE plain ADD w mood", "plain", "columns: {worker: w}\n",
     "worker: column w is of type public.mood, expected text"},
    {"an unknown app", "", "plain", "app: shop\n", "INSERT INTO rowcrew.app VALUES ('shop', 'public');"},
};

constexpr const char* kPlain = "CREATE TABLE plain (id int PRIMARY KEY, status text DEFAULT 'pending', note text, last_error text)";

std::string triggers(AdoptionBench& b) { return b.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'rowcrew%' AND tgrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'rowcrew'::regnamespace)"); }

/// In schema public, where sessions of ours do not look.
void make(AdoptionBench& b, const std::string& ddl) { b.db.exec("SET search_path = public; " + ddl); }

}  // namespace

TEST_CASE("adopt: refuses what it cannot serve, names it, and leaves everything as it was") {
  for (const Refusal& refusal : kRefusals) {
    CAPTURE(refusal.name);
    AdoptionBench b;
    make(b, kPlain);
    if (*refusal.ddl != '\0') make(b, refusal.ddl);
    const CommandAnswer answer = b.adopt(map_of(refusal.table, refusal.more));
    CAPTURE(answer.out);
    CAPTURE(answer.err);
    CHECK(answer.code != 0);
    CHECK((answer.out + answer.err).find(refusal.says) != std::string::npos);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
    CHECK(triggers(b) == "0");
  }
}

TEST_CASE("adopt: a constraint that calls a function is not run with the rights of whoever adopts") {
  AdoptionBench b;
  make(b, kPlain);
  make(b, "CREATE FUNCTION asked(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'I was asked'; END $$;"
          "ALTER TABLE plain ADD CHECK (asked(status)), ADD CHECK (length(status) < 3)");
  const CommandAnswer answer = b.adopt(map_of("plain"));
  CAPTURE(answer.err);
  CHECK(answer.code == 0);
}

TEST_CASE("adopt: a queue or priority that is generated when it is read is refused, instead of every insert") {
  AdoptionBench b;
  if (b.number("SELECT current_setting('server_version_num')::int") < 180'000) {
    MESSAGE("skipped: PostgreSQL 18 is the first with virtual generated columns");
    return;
  }
  make(b, kPlain);
  make(b, "ALTER TABLE plain ADD q text GENERATED ALWAYS AS (note || 's') VIRTUAL, ADD p int GENERATED ALWAYS AS (id % 10) VIRTUAL");
  const CommandAnswer answer = b.adopt(map_of("plain", "columns: {queue: q, priority: p}\n"));
  CHECK(answer.code != 0);
  CHECK(answer.out.find("queue: column q is a virtual generated one, which triggers cannot read, expected STORED") != std::string::npos);
  CHECK(answer.out.find("priority: column p is a virtual generated one") != std::string::npos);
  // What triggers do not read may be one.
  CHECK(b.adopt(map_of("plain", "columns: {tenant: q, max_attempts: p}\n")).code == 0);
  b.db.exec("INSERT INTO public.plain (id) VALUES (1)");
}

TEST_CASE("adopt: a foreign table is refused") {
  AdoptionBench b;
  try {
    b.db.exec("CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;"
              "CREATE FOREIGN TABLE far (id int, status text) SERVER nowhere");
  } catch (const DbError&) {
    MESSAGE("skipped: only a superuser makes foreign data wrappers");
    return;
  }
  CHECK(b.adopt(map_of("far")).out.find("is a foreign table") != std::string::npos);
}

TEST_CASE("adopt: a trigger that finds its names by the search path alone is told, as nodes have none") {
  AdoptionBench b;
  b.db.exec("CREATE TABLE public.event (job uuid); CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO event VALUES (NEW.id); RETURN NULL; END';"
            "CREATE TRIGGER note AFTER UPDATE ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.note()");
  const CommandAnswer answer = b.adopt(b.map_text(), {"--dry-run"});
  CHECK(answer.out.find("has the trigger note: in nodes its function has their rights and no search path") != std::string::npos);
  CHECK(answer.out.find("ALTER FUNCTION public.note() SET search_path = public, pg_temp;") != std::string::npos);
  b.db.exec("ALTER FUNCTION public.note() SET search_path = public, pg_temp");
  CHECK(b.adopt(b.map_text(), {"--dry-run"}).out.find("trigger note") == std::string::npos);
  b.serve();
  b.insert(1);
  CHECK(b.complete(b.claim(b.node())).size() == 1);
  CHECK(b.number("SELECT count(*) FROM public.event") == 2);
}

TEST_CASE("adopt: names with quotes and semicolons are served like any other") {
  AdoptionBench b;
  b.db.exec("CREATE SCHEMA \"a\"\"b\"; CREATE TABLE \"a\"\"b\".\"x'; DROP TABLE jobs; --\" (\"i\"\"d\" int PRIMARY KEY, \"st'at;us\" text NOT NULL DEFAULT 'it''s; new')");
  const CommandAnswer answer = b.adopt(
      "schema: 'a\"b'\ntable: \"x'; DROP TABLE jobs; --\"\nname: odd\nkey: 'i\"d'\njob_type: noop\nold_worker: none\n"
      "states: {pending: \"it's; new\", processing: 'run\"ning', completed: \"do;ne\", failed: \"fai'led\"}\ncolumns: {status: \"st'at;us\"}\n");
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  b.db.exec("INSERT INTO \"a\"\"b\".\"x'; DROP TABLE jobs; --\" (\"i\"\"d\") VALUES (1)");
  const Rows row = b.db.query("SELECT epoch, template FROM rowcrew.adopted_table");
  JobTable odd(b.pool, adopted_table_map("odd", row.integer(0, 0), row.text(0, 1)));
  ClaimWant want;
  want.queue = "default";
  want.count = 5;
  want.marks.assign(10, "-infinity");
  const auto claimed = b.await(odd.claim(1, b.node(), {want}));
  REQUIRE(claimed.size() == 1);
  std::vector<EndedJob> ended(1);
  ended[0].job = claimed[0].job;
  CHECK(b.await(odd.finish_completed(ended, {1})).size() == 1);
  CHECK(b.db.value("SELECT \"st'at;us\" FROM \"a\"\"b\".\"x'; DROP TABLE jobs; --\"") == "do;ne");
  CHECK(b.rowcrew({"unadopt", "odd"}).code == 0);
}

TEST_CASE("adopt: a role without the rights is told which, as SQL for the owner" * with_roles()) {
  AdoptionBench b;
  const LoginRole adopter(b.db, "rowcrew_owner");
  const Rows told = adopter.query("SELECT kind, message, remedy FROM rowcrew.adopted_inspect('{\"schema\": \"public\", \"table\": \"jobs\","
                                  " \"key\": \"id\", \"columns\": {\"status\": \"status\"}, \"states\": {}}')");
  std::string remedies;
  for (std::size_t i = 0; i < told.size(); ++i) remedies += std::string(told.text(i, 0)) + ": " + std::string(told.text(i, 2)) + "\n";
  CHECK(remedies.find("refuse: GRANT SELECT ON public.jobs TO " + adopter.name()) != std::string::npos);
  CHECK(remedies.find("refuse: GRANT TRIGGER ON public.jobs TO " + adopter.name()) != std::string::npos);
  // For nodes that run as the group role, the owner decides.
  CHECK(remedies.find("grant: GRANT SELECT, UPDATE ON public.jobs TO rowcrew_worker") != std::string::npos);
}
