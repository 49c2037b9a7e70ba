// Why a job of an adopted table is not running: the answers that our own jobs have, and those that only such a table gives.
#include <functional>
#include <nlohmann/json.hpp>
#include <regex>

#include "adoption_bench.hpp"
#include "support/db/login_role.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// As an operator asks.
nlohmann::json why(AdoptionBench& b, const std::string& id) {
  const CommandAnswer answer = b.rowcrew({"why", std::string(b.fixture.name) + ":" + id, "--json"});
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  return nlohmann::json::parse(answer.out);
}

std::string ended_as(AdoptionBench& b, const Outcome& outcome) {
  const std::string id = b.insert(1)[0];
  b.end(b.claim(b.node()), outcome);
  return id;
}

std::string running(AdoptionBench& b) {
  const std::string id = b.insert(1)[0];
  b.claim(b.node());
  return id;
}

struct Reason {
  const char* name;
  const char* reason;
  const char* text;  ///< a regular expression
  std::function<std::string(AdoptionBench&)> make;
};

const std::vector<Reason>& reasons() {
  static const std::vector<Reason> kReasons = {
      {"unknown", "unknown", ".* has no such job", [](AdoptionBench&) { return std::string("4711"); }},
      {"no node", "no_node", "no node is running", [](AdoptionBench& b) { return b.insert(1)[0]; }},
      {"queue unserved", "queue_unserved", "no running node serves queue default",
       [](AdoptionBench& b) {
         b.node();
         b.exec("UPDATE rowcrew.node SET queues = '{other}'");
         return b.insert(1)[0];
       }},
      {"type paused", "paused", "type noop is paused by .*: broken",
       [](AdoptionBench& b) {
         b.node();
         b.query("SELECT rowcrew.pause('type', 'noop', 'broken')");
         return b.insert(1)[0];
       }},
      {"waiting for a slot", "no_slot", "(waits for a free slot, with about \\d due jobs of queue default before it|next in line.*)",
       [](AdoptionBench& b) {
         b.node();
         return b.insert(7).back();
       }},
      {"backing off", "backoff", "backing off until 20.* UTC after http_500: it broke \\(execution 1 of \\d+\\)",
       [](AdoptionBench& b) { return ended_as(b, Retry("http_500", "it broke", 10min)); }},
      {"snoozed", "snoozed", "snoozed until 20.* UTC: the shop is closed",
       [](AdoptionBench& b) { return ended_as(b, Snooze(10min, "the shop is closed")); }},
      {"suspect", "suspect", "met the death of its node 2 times.*",
       [](AdoptionBench& b) {
         const std::string id = ended_as(b, Retry("x", "y", 0ms));
         b.exec("UPDATE {job} SET crashes = 2, scheduled_at = NULL");
         b.exec("UPDATE {t} SET " + std::string(b.fixture.status) + " = " + std::string(b.fixture.status));
         return id;
       }},
      {"unclaimable", "unclaimable", "cannot be claimed, tried again at 20.* UTC: its row says no",
       [](AdoptionBench& b) {
         b.node();
         const std::string id = b.insert(1)[0];
         b.await(b.jobs->park_unclaimable(id, {"default"}, 10min, "its row says no"));
         return id;
       }},
      {"running", "running", "running on node node \\(host\\) since 20.* UTC, 45 %: page 9",
       [](AdoptionBench& b) {
         const std::string id = b.insert(1)[0];
         ProgressWord word;
         word.id = id;
         word.token = b.claim(b.node()).at(0).job.claim_token;
         word.percent = 45;
         word.note = "page 9";
         b.await(b.control->write_progress({word}));
         return id;
       }},
      {"its node is dead", "node_lost", "its node node is gone.*",
       [](AdoptionBench& b) {
         const std::string id = running(b);
         b.exec("UPDATE rowcrew.node SET dead = true");
         return id;
       }},
      {"to be cancelled", "cancel_requested", "cancelled by .*: enough, still running on node node .*",
       [](AdoptionBench& b) {
         const std::string id = running(b);
         REQUIRE(b.rowcrew({"cancel", std::string(b.fixture.name) + ":" + id, "--reason", "enough"}).code == 0);
         return id;
       }},
      {"cancelled", "cancelled", "cancelled by .*: enough.*",
       [](AdoptionBench& b) {
         const std::string id = b.insert(1)[0];
         REQUIRE(b.rowcrew({"cancel", std::string(b.fixture.name) + ":" + id, "--reason", "enough"}).code == 0);
         b.await(b.control->settle_cancels(10));
         return id;
       }},
      {"completed", "completed", "finished.*",
       [](AdoptionBench& b) {
         const std::string id = b.insert(1)[0];
         b.complete(b.claim(b.node()));
         return id;
       }},
      {"failed", "failed", "failed.* after 1 of \\d+ executions with no_such_account: it is gone",
       [](AdoptionBench& b) { return ended_as(b, Failed("no_such_account", "it is gone")); }},
      {"run by somebody else", "foreign", ".* is '.*', but not by a claim of the fleet.*",
       [](AdoptionBench& b) {
         const std::string id = b.insert(1)[0];
         b.exec("UPDATE {t} SET {s} = {processing}");
         return id;
       }},
  };
  return kReasons;
}

}  // namespace

TEST_CASE("why of adopted tables: each reason has its answer, in the words of that table") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    AdoptionBench b(fixture.map);
    b.serve();
    for (const Reason& r : reasons()) {
      b.exec("TRUNCATE {t} CASCADE");
      b.exec("TRUNCATE rowcrew.node, rowcrew.pause, rowcrew.cancel_request, rowcrew.job_progress, rowcrew.job_attempt");
      const std::string id = r.make(b);
      const auto answer = why(b, id);
      CAPTURE(fixture.map);
      CAPTURE(r.name);
      CAPTURE(answer.dump());
      CHECK(answer.at("reason") == r.reason);
      CHECK(std::regex_match(answer.at("text").get<std::string>(), std::regex(r.text)));
      CHECK(answer.at("job") == std::string(fixture.name) + ":" + id);
    }
  }
}

TEST_CASE("why of adopted tables: a job that is not due says until when, one that is how many come before it") {
  AdoptionBench b("job_queue");
  b.serve();
  b.node();
  b.insert(6);
  CHECK(why(b, b.insert(1)[0]).at("text") == "waits for a free slot, with about 6 due jobs of queue default before it");
  const std::string id = b.value("INSERT INTO {t} (job_type, payload, scheduled_at) VALUES ('noop', '{}', now() + interval '1 hour') RETURNING id::text");
  const auto answer = why(b, id);
  CHECK(answer.at("reason") == "scheduled");
  CHECK(answer.at("until").is_string());
}

TEST_CASE("why of adopted tables: a word that is no state of the map, and a table in shadow or held, are told") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.exec("ALTER TABLE {t} DISABLE TRIGGER USER");
  b.exec("ALTER TABLE {t} DROP CONSTRAINT IF EXISTS jobs_status_check");
  b.exec("UPDATE {t} SET {s} = 'archived'");
  CHECK(why(b, id).at("reason") == "unmapped");
  CHECK(why(b, id).at("text") == "status is 'archived', which the map names no state of a job");
  b.exec("UPDATE {t} SET {s} = 'pending'");  // its own word for something else: what waits is queued
  CHECK(why(b, id).at("text") == "status is 'pending', which the map names no state of a job");
  b.exec("ALTER TABLE {t} ALTER {s} DROP NOT NULL");
  b.exec("UPDATE {t} SET {s} = NULL");
  CHECK(why(b, id).at("text") == "status is null, which the map names no state of a job");
  b.exec("ALTER TABLE {t} RENAME COLUMN {s} TO state");
  CHECK(why(b, id).at("reason") == "held");  // no node has noticed yet
  b.exec("UPDATE rowcrew.adopted_table SET mode = 'held', hold_reason = 'column status is gone'");
  CHECK(why(b, id).at("text") == "public.jobs is held, nothing of it is claimed until rowcrew adopt --repair: column status is gone");

  AdoptionBench prisma("prisma");
  prisma.serve();
  const std::string there = prisma.insert(1)[0];
  prisma.exec("ALTER TYPE realign.\"JobStatus\" RENAME VALUE 'FAILED' TO 'BROKEN'");
  CHECK(why(prisma, there).at("reason") == "held");  // not: no such job

  AdoptionBench shadow("jobs");
  REQUIRE(shadow.adopt(shadow.map_text(), {"--shadow"}).code == 0);
  CHECK(why(shadow, shadow.insert(1)[0]).at("reason") == "shadow");
}

TEST_CASE("why of adopted tables: a write that was held is told to whoever wonders why the job does not run again") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    b.complete(b.claim(b.node()));
    b.exec("UPDATE {t} SET {s} = {pending}");
    CAPTURE(fixture.map);
    const auto answer = why(b, id);
    CHECK(answer.at("reason") == "completed");
    CHECK(std::regex_match(answer.at("text").get<std::string>(), std::regex("finished.*; a write of .* at 20.* UTC that would have made it wait again was held")));
    CHECK(answer.at("details").at("held_writes").at("count") == 1);
  }
}

TEST_CASE("why of adopted tables: whoever may not read the table is told what to ask for" * with_roles()) {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.node();
  const LoginRole login(b.db, "rowcrew_viewer");
  const auto as_viewer = [&](const std::string& column) {
    return login.value("SELECT answer ->> '" + column + "' FROM rowcrew.adopted_why('public_jobs', '" + id + "')");
  };
  CHECK(as_viewer("reason") == "unreadable");
  CHECK(as_viewer("text") == "role " + login.name() + " may not read public.jobs: GRANT SELECT ON public.jobs TO " + login.name());
  b.exec("GRANT SELECT ON {t} TO rowcrew_viewer");
  CHECK(as_viewer("reason") == "no_slot");
}

TEST_CASE("why of adopted tables: a table that nobody adopted names those that are") {
  AdoptionBench b("jobs");
  b.serve();
  const CommandAnswer answer = b.rowcrew({"why", "orders:1"});
  CHECK(answer.out == "no adopted table is served as orders, only public_jobs\n");
  const CommandAnswer own = b.rowcrew({"why", "00000000-0000-7000-8000-000000000001"});
  CHECK(own.out.find("one of an adopted table is named <table>:<id>") != std::string::npos);
}

TEST_CASE("why of adopted tables: among many jobs an answer touches at most fifty pages") {
  AdoptionBench b("django");
  b.serve();
  b.node();
  for (int i = 0; i < 3; ++i) b.insert(100'000);
  const std::string id = b.value("SELECT id::text FROM {t} ORDER BY id OFFSET 200000 LIMIT 1");
  for (const bool analysed : {false, true}) {
    if (analysed) b.exec("ANALYZE");
    std::string plan;
    run_once(b.db.options(), TxMode::transaction, [&](Tx& tx) {
      const std::string call = "SELECT answer ->> 'reason' FROM rowcrew.adopted_why('studio_api_imagejob', '" + id + "')";
      CHECK(tx.exec(Statement{"why", call}).text(0, 0) == "no_slot");
      const Rows rows = tx.exec(Statement{"explain", "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) " + call});
      for (std::size_t i = 0; i < rows.size(); ++i) plan += std::string(rows.text(i, 0)) + "\n";
    });
    std::smatch found;
    REQUIRE(std::regex_search(plan, found, std::regex(R"(Buffers: shared hit=(\d+)(?: read=(\d+))?)")));
    CAPTURE(analysed);
    CAPTURE(plan);
    CHECK(std::stol(found[1]) + (found[2].matched ? std::stol(found[2]) : 0) <= 50);
  }
}
