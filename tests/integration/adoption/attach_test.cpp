// Adopting and giving back: what is created, what is removed, and that nothing else changes.
#include <array>
#include <cstdio>
#include <future>
#include <sstream>

#include <unistd.h>

#include "adoption_bench.hpp"
#include "cli/adoption.hpp"
#include "cli/adoption_templates.hpp"
#include "support/db/login_role.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::string dump(const AdoptionBench& b) {
  const std::string command = "pg_dump -s --restrict-key=x --exclude-schema=rowcrew '" + b.db.url() + "' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> part{};
  for (std::size_t n = 0; (n = ::fread(part.data(), 1, part.size(), pipe)) > 0;) text.append(part.data(), n);
  REQUIRE(::pclose(pipe) == 0);
  return text;
}

}  // namespace

TEST_CASE("unadopt: everything outside of schema rowcrew is as it was, to the byte") {
  AdoptionBench b;
  b.db.exec("GRANT SELECT (status), INSERT ON public.jobs TO PUBLIC; ALTER TABLE studio.api_imagejob SET (fillfactor = 80);"
            "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END';"
            "CREATE TRIGGER touch BEFORE UPDATE ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.touch()");
  const std::string before = dump(b);
  REQUIRE(before.find("CREATE TABLE public.jobs") != std::string::npos);
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    const CommandAnswer answer = b.adopt(read_text(std::string("support/adopted/") + fixture.map + ".yaml"));
    CAPTURE(answer.err);
    REQUIRE(answer.code == 0);
  }
  CHECK(dump(b) != before);
  b.exec("INSERT INTO studio.api_imagejob (prompt) VALUES ('x')");
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    const CommandAnswer answer = b.rowcrew({"unadopt", fixture.name});
    CAPTURE(answer.err);
    CHECK(answer.code == 0);
  }
  CHECK(dump(b) == before);
  CHECK(b.number("SELECT count(*) FROM pg_class WHERE relnamespace = 'rowcrew'::regnamespace AND relname ~ 'api_imagejob|shop_|public_|realign'") == 0);
  CHECK(b.number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'rowcrew'::regnamespace AND proname ~ 'api_imagejob|shop_|public_|realign'") == 0);
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
  CHECK(b.value("SELECT string_agg(action, ',' ORDER BY id) FROM rowcrew.audit_logs WHERE target = 'public_jobs'") == "table.adopt,table.unadopt");
}

TEST_CASE("unadopt: a copy that nobody took over is given back as well, whose tables have other oids") {
  AdoptionBench b;
  b.serve();
  b.exec("UPDATE rowcrew.adopted_table SET rel = 'rowcrew.meta'::regclass");
  const CommandAnswer answer = b.rowcrew({"unadopt", "public_jobs"});
  CAPTURE(answer.err);
  CHECK(answer.code == 0);
  CHECK(b.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.jobs'::regclass AND NOT tgisinternal") == 0);
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
}

TEST_CASE("adopt: updates that set no job column are not looked at, unless a trigger may set one behind them") {
  AdoptionBench b;
  const auto columns = [&] {
    return b.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.jobs'::regclass AND tgname IN ('rowcrew_hold', 'rowcrew_refile')"
                    " AND array_length(tgattr::int2[], 1) > 0");
  };
  REQUIRE(b.adopt(read_text("support/adopted/jobs.yaml")).code == 0);
  CHECK(columns() == 2);
  REQUIRE(b.rowcrew({"unadopt", "public_jobs"}).code == 0);
  b.db.exec("CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER touch BEFORE UPDATE ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.touch()");
  REQUIRE(b.adopt(read_text("support/adopted/jobs.yaml")).code == 0);
  CHECK(columns() == 0);
}

TEST_CASE("unadopt, repair: who may not drop the triggers is told so before anything is changed" * with_roles()) {
  AdoptionBench b;
  b.serve();
  const LoginRole adopter(b.db, "rowcrew_owner");
  b.exec("GRANT SELECT, TRIGGER ON {t} TO rowcrew_owner");
  b.command_url = adopter.url();
  for (const CommandAnswer& answer : {b.rowcrew({"unadopt", "public.jobs"}), b.adopt(b.map_text(), {"--repair"})}) {
    CHECK(answer.code == 1);
    CHECK(answer.err.find("only its owner may drop the triggers of public.jobs: run it as ") != std::string::npos);
    CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "serve");
  }
}

TEST_CASE("unadopt: waits for running jobs, and does nothing while they run") {
  AdoptionBench b;
  b.serve();
  b.insert(1);
  const auto claimed = b.claim(b.node());
  const CommandAnswer answer = b.rowcrew({"unadopt", "public.jobs", "--wait", "200ms"});
  CHECK(answer.code != 0);
  CHECK(answer.err.find("1 jobs of public_jobs still run") != std::string::npos);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "held");
  CHECK(b.complete(claimed).size() == 1);
  CHECK(b.rowcrew({"unadopt", "public.jobs"}).code == 0);
}

TEST_CASE("unadopt: jobs whose table was dropped while they ran are not waited for") {
  AdoptionBench b;
  b.serve();
  b.insert(1);
  REQUIRE(b.claim(b.node()).size() == 1);
  b.db.exec("DROP TABLE public.jobs");
  const CommandAnswer answer = b.rowcrew({"unadopt", "public_jobs", "--wait", "200ms"});
  CAPTURE(answer.err);
  CHECK(answer.code == 0);
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
  CHECK(b.value("SELECT to_regclass('rowcrew.public_jobs_claim') IS NULL") == "t");
}

TEST_CASE("adopt: a dry run and a shadow touch nothing, and tell what would be claimed") {
  AdoptionBench b;
  b.insert(2);
  b.exec("UPDATE {t} SET status = 'strange' WHERE ctid = (SELECT min(ctid) FROM {t})");
  const std::string before = dump(b);
  CommandAnswer answer = b.adopt(b.map_text(), {"--dry-run"});
  CHECK(answer.code == 0);
  CHECK(answer.out.find("a word that the map does not know") != std::string::npos);
  CHECK(answer.out.find("as noop from queue default, payload {\"file\": \"f") != std::string::npos);
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
  answer = b.adopt(b.map_text(), {"--shadow"});
  CHECK(answer.code == 0);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "shadow");
  CHECK(dump(b) == before);
  // Out of the shadow.
  b.serve();
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "serve");
  CHECK(b.claim(b.node()).size() == 1);
}

TEST_CASE("adopt: an old worker that does not check the status again keeps the table in shadow") {
  AdoptionBench b("rails");
  std::string map = b.map_text();
  map = map.substr(0, map.find("old_worker"));
  CommandAnswer answer = b.adopt(map);
  CHECK(answer.code == 0);
  CHECK(answer.out.find("does not say how the old worker claims") != std::string::npos);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "shadow");
  answer = b.adopt(map + "old_worker: UPDATE shop.background_jobs SET state = 'running' WHERE id = $1\n");
  CHECK(answer.out.find("does not ask for state = 'queued' again") != std::string::npos);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "shadow");
}

TEST_CASE("adopt: jobs that run already are left to their worker or wait again, as told") {
  AdoptionBench b;
  const Ids ids = b.insert(2);
  b.exec("UPDATE {t} SET status = 'processing' WHERE id = '" + ids[0] + "'");
  CommandAnswer answer = b.adopt(b.map_text());
  CHECK(answer.code != 0);
  CHECK(answer.err.find("1 jobs run") != std::string::npos);
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_table") == 0);
  SUBCASE("left") {
    CHECK(b.adopt(b.map_text(), {"--running", "leave"}).code == 0);
    b.reopen();
    CHECK(b.claim(b.node()).size() == 1);
    CHECK(b.status(ids[0]) == "processing");
    CHECK(b.await(b.jobs->audit_find(0, 100)).empty());
  }
  SUBCASE("requeued") {
    CHECK(b.adopt(b.map_text(), {"--running", "requeue"}).code == 0);
    b.reopen();
    CHECK(b.claim(b.node()).size() == 2);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopt: waits for a writer in short tries, and files what that writer commits") {
  AdoptionBench b;
  std::promise<void> locked;
  std::promise<void> go;
  auto writer = std::async(std::launch::async, [&] {
    auto work = [&](Tx& tx) {
      tx.exec(Statement{"insert", "INSERT INTO public.jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) VALUES ('x', 'x', 'x', 'x')"});
      locked.set_value();
      go.get_future().wait();
    };
    run_once(b.db.options(), TxMode::transaction, work);
  });
  locked.get_future().wait();
  auto adopting = std::async(std::launch::async, [&] { return b.adopt(b.map_text()); });
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < until && b.db.value("SELECT count(*) FROM rowcrew.adopted_table") == "0") {
  }
  go.set_value();
  writer.get();
  const CommandAnswer answer = adopting.get();
  CHECK(answer.code == 0);
  b.reopen();
  CHECK(b.claim(b.node()).size() == 1);
}

TEST_CASE("adopt: gives up on a table that is never free, and names who has it; trying again goes on from there") {
  AdoptionBench b;
  auto work = [&](Tx& tx) {
    tx.exec(Statement{"lock", "LOCK TABLE public.jobs IN ROW EXCLUSIVE MODE"});
    std::ostringstream out;
    cli::Adoption adoption(b.db.options(), out, 300ms);
    char path[] = "/tmp/rowcrew-map-XXXXXX";
    const int fd = ::mkstemp(path);
    const std::string text = b.map_text();
    REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(fd);
    const cli::AdoptionMap map = cli::read_adoption_map(path);
    ::unlink(path);
    std::string error;
    try {
      adoption.serve(map, false);
    } catch (const TransientError& e) {
      error = e.what();
    }
    CHECK(error.find("in use without a pause by pid ") != std::string::npos);
    CHECK(error.find("rowcrew-test") != std::string::npos);
  };
  run_once(b.db.options(), TxMode::transaction, work);
  CHECK(b.value("SELECT hold_reason FROM rowcrew.adopted_table") == "being adopted");
  CHECK(b.adopt(b.map_text()).code == 0);
  CHECK(b.value("SELECT mode FROM rowcrew.adopted_table") == "serve");
}

TEST_CASE("adopt: two tables of one name in two schemas are two tables") {
  AdoptionBench b;
  b.db.exec("CREATE SCHEMA other; CREATE TABLE other.jobs (id int PRIMARY KEY, status text NOT NULL DEFAULT 'queued');"
            "CREATE SCHEMA public_jobs; CREATE TABLE public_jobs.x (id int PRIMARY KEY, status text NOT NULL DEFAULT 'queued');"
            "CREATE SCHEMA public_; CREATE TABLE public_.jobs_x (id int PRIMARY KEY, status text NOT NULL DEFAULT 'queued')");
  b.serve();
  const std::string rest = "job_type: noop\nold_worker: none\nstates: {pending: queued, processing: p, completed: c, failed: f}\n";
  CHECK(b.adopt("schema: other\ntable: jobs\n" + rest).code == 0);
  CHECK(b.adopt("schema: public_jobs\ntable: x\n" + rest).code == 0);
  CHECK(b.adopt("schema: public_\ntable: jobs_x\n" + rest).code == 0);
  CHECK(b.value("SELECT string_agg(name, ',' ORDER BY name) FROM rowcrew.adopted_table") == "other_jobs,public_jobs,public_jobs_x,public_jobs_x_2");
  b.insert(1);
  b.db.exec("INSERT INTO other.jobs (id) VALUES (1), (2)");
  CHECK(b.number("SELECT count(*) FROM rowcrew.public_jobs_ready") == 1);
  CHECK(b.number("SELECT count(*) FROM rowcrew.other_jobs_ready") == 2);
}

TEST_CASE("adopt: the help names every key that a map may hold") {
  AdoptionBench b;
  const std::string help = b.rowcrew({"adopt", "--help"}).out;
  for (const char* key : {"app", "counts", "touch", "old_worker", "retrying", "provider", "duration_ms", "created_at"}) {
    CAPTURE(key);
    CHECK(help.find(key) != std::string::npos);
  }
}

TEST_CASE("adopt: a template taken as it is hands no job to a kind that would refuse its payload") {
  for (const char* framework : {"django", "prisma", "sqlalchemy"}) {
    CHECK(cli::adoption_template(framework).find("\njob_type: my_images ") != std::string_view::npos);
  }
}

TEST_CASE("adopt: each template is a map that can be read") {
  AdoptionBench b;
  for (const char* framework : {"django", "prisma", "rails", "sqlalchemy"}) {
    CAPTURE(framework);
    const CommandAnswer printed = b.rowcrew({"adopt", "--template", framework});
    CHECK(printed.code == 0);
    CHECK(printed.out == cli::adoption_template(framework));
    const CommandAnswer answer = b.adopt(printed.out, {"--dry-run"});
    CAPTURE(answer.out);
    CAPTURE(answer.err);
    // The names are examples; sqlalchemy's are those of the seed.
    CHECK(answer.code == (std::string_view(framework) == "sqlalchemy" ? 0 : 1));
  }
  CHECK(b.rowcrew({"adopt", "--template", "cobol"}).err.find("expected django, prisma, rails or sqlalchemy") != std::string::npos);
}
