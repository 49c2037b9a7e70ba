// Writes of the application that would make a running or finished job wait again.
#include "adoption_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("stale saves: over a running job the status stays, the rest of the save is done, and it is counted") {
  for (const char* map : {"django", "prisma", "jobs", "job_queue", "rails"}) {
    CAPTURE(map);
    AdoptionBench b(map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const auto claimed = b.claim(b.node());
    b.exec("UPDATE {t} SET {s} = {pending}");
    CHECK(b.status(id) == b.fixture.words[1]);
    CHECK(b.hints(id) == "none");
    CHECK(b.value("SELECT concat_ws('|', job_table, job_key, was, wanted) FROM rowcrew.adopted_conflict") ==
          std::string(b.fixture.name) + "|" + id + "|" + b.fixture.words[1] + "|" + b.fixture.words[0]);
    CHECK(b.complete(claimed) == Ids{id});
    // And over the finished one.
    b.exec("UPDATE {t} SET {s} = {pending}");
    CHECK(b.status(id) == b.fixture.words[2]);
    CHECK(b.claim(b.node()).empty());
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 2);
  }
}

TEST_CASE("stale saves: every column of ours keeps its value, every other takes what was saved") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(1);
  b.complete(b.claim(b.node()));
  // An ORM that writes all that it had read.
  b.exec("UPDATE {t} SET status = 'queued', started_at = NULL, completed_at = NULL, processing_time_ms = NULL, retry_count = 0,"
         " worker_id = NULL, output_url = 'https://x'");
  CHECK(b.value("SELECT concat_ws('|', status, started_at IS NOT NULL, completed_at IS NOT NULL, processing_time_ms IS NOT NULL, retry_count,"
                " worker_id IS NOT NULL, output_url) FROM {t}") == "completed|t|t|t|1|t|https://x");
  // A save of the running word over a finished job is as stale.
  b.exec("UPDATE {t} SET status = 'processing'");
  CHECK(b.value("SELECT status FROM {t}") == "completed");
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 2);
}

TEST_CASE("stale saves: a job that waits may be saved as often as one likes") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.exec("UPDATE {t} SET status = 'queued', output_url = 'x'");
  b.exec("UPDATE {t} SET output_url = 'y'");
  CHECK(b.hints(id) == "ready");
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  CHECK(b.claim(b.node()).size() == 1);
}

TEST_CASE("stale saves: one of the running word over a job that waits again is held, or the job would wait for ever") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    b.end(b.claim(b.node()), Outcome(Retry("flaky", "not yet", 0ms)));
    // Read while it ran, saved now.
    b.exec("SET rowcrew.engine = ''; UPDATE {t} SET {s} = {processing}");
    // An old worker claims in no other way, and is believed.
    const bool believed = std::string_view(fixture.map) == "rails";
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == (believed ? 0 : 1));
    CHECK((b.status(id) == fixture.words[1]) == believed);
    CHECK(b.claim(b.node()).size() == (believed ? 0 : 1));
  }
}

TEST_CASE("stale saves: which were held is known for a month") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(2);
  b.claim(b.node());
  b.exec("UPDATE {t} SET {s} = {pending}");
  b.exec("UPDATE rowcrew.adopted_conflict SET at = at - interval '31 days' WHERE conflict_id = (SELECT min(conflict_id) FROM rowcrew.adopted_conflict)");
  b.query(sql::progress_forget.text, Params{}.add(10));
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 1);
}

TEST_CASE("requeue: what the map allows runs again, from its first attempt") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.end(b.claim(b.node()), Outcome(Failed("broken", "x")));
  b.exec("UPDATE {t} SET status = 'queued', retry_count = 0");
  CHECK(b.status(id) == "queued");
  CHECK(b.hints(id) == "ready");
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  const auto again = b.claim(b.node());
  REQUIRE(again.size() == 1);
  CHECK(again[0].job.attempt == 1);
}

TEST_CASE("requeue: an old worker that gives its own job back is no conflict, a write over ours is") {
  AdoptionBench b("rails");
  b.serve();
  const Ids ids = b.insert(2);
  b.exec("UPDATE {t} SET state = 'running', locked_by = 'old' WHERE id = " + ids[0]);
  const auto ours = b.claim(b.node());
  REQUIRE(ours.size() == 1);
  b.exec("UPDATE {t} SET state = 'queued', locked_by = NULL");
  CHECK(b.status(ids[0]) == "queued");
  CHECK(b.hints(ids[0]) == "ready");
  CHECK(b.status(ids[1]) == "running");
  CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 1);
}

TEST_CASE("requeue: a new time makes a waiting job run earlier or later") {
  AdoptionBench b("job_queue");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.exec("UPDATE {t} SET scheduled_at = now() + interval '1 hour'");
  CHECK(b.claim(b.node()).empty());
  b.exec("UPDATE {t} SET scheduled_at = now() - interval '1 second'");
  CHECK(b.claim(b.node()).size() == 1);
}

TEST_CASE("status: names adopted tables, why they are held, and the conflicts") {
  AdoptionBench b("jobs");
  b.serve();
  b.insert(1);
  b.claim(b.node());
  b.exec("UPDATE {t} SET status = 'queued'");
  CommandAnswer answer = b.rowcrew({"status"});
  CHECK(answer.code == 0);
  CHECK(answer.out.find("public_jobs") != std::string::npos);
  CHECK(answer.out.find("serve") != std::string::npos);
  b.exec("SELECT rowcrew.hold_adopted('public_jobs', (SELECT epoch FROM rowcrew.adopted_table), 'column status was dropped')");
  answer = b.rowcrew({"status"});
  CHECK(answer.out.find("public_jobs is held: column status was dropped") != std::string::npos);
  answer = b.rowcrew({"status", "--json"});
  CHECK(answer.out.find(R"("conflicts":1)") != std::string::npos);
}
