// Cancelling and redriving many jobs of an adopted table, as an operator does it.
#include <nlohmann/json.hpp>

#include "adoption_bench.hpp"
#include "support/db/login_role.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

nlohmann::json act(AdoptionBench& b, std::vector<std::string> args) {
  args.insert(args.begin() + 1, {"--table", b.fixture.name, "--json"});
  const CommandAnswer answer = b.rowcrew(std::move(args));
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  return nlohmann::json::parse(answer.out);
}

std::string refused(AdoptionBench& b, std::vector<std::string> args) {
  const CommandAnswer answer = b.rowcrew(std::move(args));
  CHECK(answer.code == 64);
  return answer.err;
}

/// These jobs, failed with this code at their first execution.
Ids failed_with(AdoptionBench& b, NodeIdentity node, const char* code, const Ids& ids) {
  b.end(b.claim(node), Outcome(Failed(code, "it broke")));
  for (const std::string& id : ids) REQUIRE(b.status(id) == b.fixture.words[3]);
  return ids;
}

}  // namespace

TEST_CASE("adopted redrive: failed jobs run again from their first attempt, the preview tells how many") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const NodeIdentity node = b.node();
    const Ids ids = failed_with(b, node, "http_500", b.insert(5));
    CHECK(act(b, {"redrive", "--error-code", "http_500", "--preview"}).at("would_change") == 5);
    CHECK(act(b, {"redrive", "--error-code", "http_404", "--preview"}).at("would_change") == 0);
    const auto done = act(b, {"redrive", "--error-code", "http_500", "--reason", "mended"});
    CHECK(done.at("changed") == 5);
    CHECK(done.at("done") == true);
    for (const std::string& id : ids) {
      CHECK(b.status(id) == fixture.words[0]);
      CHECK(b.hints(id) == "ready");
    }
    const auto again = b.claim(node);
    REQUIRE(again.size() == 5);
    for (const ClaimedJob& job : again) CHECK(job.job.attempt == 1);
    CHECK(b.complete(again).size() == 5);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.audit_logs WHERE action = 'job.redrive' AND metadata @> '{\"changed\": 5, \"done\": true, \"reason\": \"mended\"}'") == 1);
  }
}

TEST_CASE("adopted redrive: neither what was cancelled nor what has completed, waits or runs is meant") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const Ids ids = b.insert(4);
    const NodeIdentity node = b.node();
    std::vector<ClaimedJob> claimed;
    for (int i = 0; i < 3; ++i) claimed.push_back(b.claim(node, 1).at(0));  // the fourth waits
    b.complete({claimed[0]});
    REQUIRE(b.rowcrew({"cancel", std::string(fixture.name) + ":" + claimed[1].job.id}).code == 0);
    b.end({claimed[1]}, Outcome(Failed("x", "y")));  // ends as cancelled
    CHECK(act(b, {"redrive", "--all", "--preview"}).at("would_change") == 0);
    CHECK(act(b, {"redrive", "--all"}).at("changed") == 0);
    CHECK(b.complete({claimed[2]}).size() == 1);
  }
}

TEST_CASE("adopted redrive: page by page, each job once, and an act that was interrupted goes on") {
  AdoptionBench b("prisma");
  b.serve();
  const NodeIdentity node = b.node();
  failed_with(b, node, "x", b.insert(7));
  b.node();
  const std::string number = b.value(
      "SELECT rowcrew.act_begin('redrive', '{\"table\": \"realign_processingjob\", \"all\": true}')::text");
  const auto page = [&] { return b.number("SELECT changed FROM rowcrew.act_step(" + number + ", 3)"); };
  CHECK(page() == 3);
  b.end(b.claim(node), Outcome(Failed("x", "again")));  // behind the place where the act stands: not its own
  CHECK(page() == 3);
  const CommandAnswer rest = b.rowcrew({"redrive", "--continue", number});
  CHECK(rest.out == "redriven 1\n");
  CHECK(b.rowcrew({"redrive", "--continue", number}).out == "redriven 0\n");
  CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text = {failed}") == 3);
}

TEST_CASE("adopted redrive: a job whose row somebody holds is skipped and counted") {
  AdoptionBench b("jobs");
  b.serve();
  const Ids ids = failed_with(b, b.node(), "x", b.insert(2));
  run_once(b.db.options(), TxMode::transaction, [&](Tx& tx) {
    tx.exec(Statement{"hold", "SELECT FROM public.jobs WHERE id = '" + ids[0] + "' FOR UPDATE"});
    const auto answer = act(b, {"redrive", "--all"});
    CHECK(answer.at("changed") == 1);
    CHECK(answer.at("skipped") == 1);
  });
}

TEST_CASE("adopted redrive: a job that a trigger of the application keeps as it is counts as skipped") {
  AdoptionBench b("jobs");
  b.serve();
  failed_with(b, b.node(), "x", b.insert(2));
  b.exec("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
         "CREATE TRIGGER a_no BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION public.no()");
  const auto answer = act(b, {"redrive", "--all"});
  CHECK(answer.at("changed") == 0);
  CHECK(answer.at("skipped") == 2);
}

TEST_CASE("adopted cancel: all that meet the conditions end as cancelled, waiting or running") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    b.insert(4);
    const auto claimed = b.claim(b.node(), 1);
    CHECK(act(b, {"cancel", "--type", "noop", "--preview"}).at("would_change") == 4);
    CHECK(act(b, {"cancel", "--type", "other", "--preview"}).at("would_change") == 0);
    CHECK(act(b, {"cancel", "--type", "noop", "--reason", "enough"}).at("requested") == 4);
    CHECK(b.await(b.control->settle_cancels(100)).size() == 3);
    b.complete(claimed);
    b.await(b.control->settle_cancels(100));
    CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text IN ({pending}, {processing}, {completed})") == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.cancel_request") == 0);
  }
}

TEST_CASE("adopted acts: what cannot be meant is refused, with the name of the field") {
  AdoptionBench b("jobs");
  b.serve();
  CHECK(refused(b, {"redrive", "--table", "orders", "--all"}).find("filter.table: 'orders', expected an adopted table that is served: public_jobs") != std::string::npos);
  CHECK(refused(b, {"redrive", "--table", "public_jobs"}).find("a condition; for every job say") != std::string::npos);
  CHECK(refused(b, {"redrive", "--table", "public_jobs", "--tenant", "acme"}).find("filter.tenant: 'acme', expected no such condition") != std::string::npos);
  CHECK(refused(b, {"cancel", "--table", "public_jobs", "--created-after", "2026-01-01"}).find("filter.created_after") != std::string::npos);
  CHECK(refused(b, {"cancel", "--table", "public_jobs", "--ended-after", "soon"}).find("expected a time such as") != std::string::npos);
  CHECK(b.number("SELECT count(*) FROM rowcrew.audit_logs WHERE action LIKE 'job.%'") == 0);
  // A value with braces or quotes is a value.
  CHECK(act(b, {"redrive", "--error-code", "{key} '; DROP TABLE jobs; --", "--preview"}).at("would_change") == 0);
}

TEST_CASE("adopted acts: an operator acts with their own rights on the table, and is told which are missing" * with_roles()) {
  AdoptionBench b("jobs");
  b.serve();
  failed_with(b, b.node(), "x", b.insert(1));
  const LoginRole login(b.db, "rowcrew_operator");
  const std::string number = login.value("SELECT rowcrew.act_begin('redrive', '{\"table\": \"public_jobs\", \"all\": true}')::text");
  const std::string step = "SELECT changed::text FROM rowcrew.act_step(" + number + ", 10)";
  CHECK_THROWS_WITH(login.value(step), doctest::Contains("GRANT SELECT, UPDATE ON public.jobs TO "));
  b.exec("GRANT SELECT, UPDATE ON {t} TO rowcrew_operator");
  CHECK(login.value(step) == "1");
}

TEST_CASE("adopted: an application runs an ended job again where it says that it means to") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const NodeIdentity node = b.node();
    const auto claimed = b.claim(node);
    const char* meant = "BEGIN; SET LOCAL rowcrew.requeue = 'on'; UPDATE {t} SET {s} = {pending}; COMMIT";
    b.exec(meant);  // it runs: a conflict all the same
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 1);
    CHECK(b.complete(claimed).size() == 1);
    b.exec("UPDATE {t} SET {s} = {pending}");
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 2);
    b.exec(meant);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 2);
    CHECK(b.status(id) == fixture.words[0]);
    CHECK(b.complete(b.claim(node)).size() == 1);
  }
}

TEST_CASE("adopted: a job that seems to run, but by no claim of ours, waits again where the application says that it means to") {
  for (const char* map : {"jobs", "prisma"}) {
    CAPTURE(map);
    AdoptionBench b(map);
    const std::string id = b.insert(1)[0];
    b.exec("UPDATE {t} SET {s} = {processing}");  // its worker died
    REQUIRE(b.adopt(b.map_text(), {"--running", "leave"}).code == 0);
    b.reopen();
    b.exec("UPDATE {t} SET {s} = {pending}");
    CHECK(b.status(id) == b.fixture.words[1]);
    b.exec("BEGIN; SET LOCAL rowcrew.requeue = 'on'; UPDATE {t} SET {s} = {pending}; COMMIT");
    CHECK(b.status(id) == b.fixture.words[0]);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 1);
    CHECK(b.complete(b.claim(b.node())) == Ids{id});
  }
}

TEST_CASE("adopted acts: a cancel that is continued says that nodes end its jobs, as it does when it is begun") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(3);
  const std::string number = b.value("SELECT rowcrew.act_begin('cancel', '{\"table\": \"public_jobs\", \"all\": true}')::text");
  const CommandAnswer answer = b.rowcrew({"cancel", "--continue", number});
  CHECK(answer.code == 0);
  CHECK(answer.out == "asked for the end of 3: nodes end them\n");
}

TEST_CASE("adopted redrive: a function that a trigger of the application misses is told by its name, and no schema of ours is blamed") {
  AdoptionBench b("jobs");
  b.serve();
  failed_with(b, b.node(), "x", b.insert(1));
  b.exec("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.gone(); RETURN NEW; END $$;"
         "CREATE TRIGGER a_no BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION public.no()");
  const CommandAnswer answer = b.rowcrew({"redrive", "--table", "public_jobs", "--all"});
  CHECK(answer.code == 1);
  CHECK(answer.err.find("function public.gone() does not exist") != std::string::npos);
  CHECK(answer.err.find("if public_jobs was changed, rowcrew adopt --repair may mend it") != std::string::npos);
  CHECK(answer.err.find("migrate") == std::string::npos);
}
