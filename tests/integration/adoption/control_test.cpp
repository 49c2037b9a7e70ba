// Pauses, requests to cancel, progress and ages: what is about one job of an adopted table, by its own key.
#include "adoption_bench.hpp"
#include "support/db/login_role.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// As an operator asks; the node that runs it, or any other, does the rest.
std::string ask(AdoptionBench& b, const std::string& id) {
  return b.value("SELECT rowcrew.adopted_cancel($1, $2, 'enough')", Params{}.add(b.fixture.name).add(id));
}

}  // namespace

TEST_CASE("adopted control: jobs of a paused type are laid aside, and come back when it is resumed") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const Ids ids = b.insert(2);
    const NodeIdentity node = b.node();
    const auto claimed = b.claim(node, 1);
    REQUIRE(claimed.size() == 1);
    CHECK(b.await(b.control->paused_among({claimed[0].job.id})).empty());
    b.query("SELECT rowcrew.pause('type', 'noop')");
    CHECK(b.await(b.control->paused_among({claimed[0].job.id})) == Ids{claimed[0].job.id});
    b.await(b.control->hold({claimed[0].job.id}, {claimed[0].job.claim_token}, {claimed[0].job.claim_token}));
    CHECK(b.await(b.control->shelve("default", 100)) == 1);
    for (const std::string& id : ids) {
      CHECK(b.status(id) == fixture.words[0]);
      CHECK(b.hints(id) == "parked:paused");
    }
    b.await(b.jobs->promote(100));
    CHECK(b.claim(node).empty());
    CHECK(b.await(b.control->held_keys()) == Ids{"type:noop"});
    b.query("SELECT rowcrew.resume('type', 'noop')");
    CHECK(b.await(b.control->release("type:noop", 100)) == 2);
    const auto again = b.claim(node);
    REQUIRE(again.size() == 2);
    CHECK(again[0].job.attempt == 1);
    CHECK(b.complete(again).size() == 2);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted control: a job held after its pause has ended is ready at once") {
  AdoptionBench b("job_queue");
  b.serve();
  const std::string id = b.insert(1)[0];
  const auto claimed = b.claim(b.node());
  b.await(b.control->hold({id}, {claimed[0].job.claim_token}, {claimed[0].job.claim_token}));
  CHECK(b.hints(id) == "ready");
}

TEST_CASE("adopted control: a waiting job that is to be cancelled ends, in the word that the table has for it") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    CHECK(ask(b, id) == "requested");
    const auto requests = b.await(b.control->cancel_requests());
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].id == id);
    const auto settled = b.await(b.control->settle_cancels(100));
    REQUIRE(settled.size() == 1);
    CHECK(settled[0].id == id);
    CHECK(settled[0].now == "cancelled");
    CHECK(b.value("SELECT status FROM {job}") == "cancelled");
    const std::string word = b.status(id);
    CHECK((word == fixture.words[3] || word == "cancelled" || word == "CANCELLED"));
    CHECK(b.claim(b.node()).empty());
    CHECK(b.await(b.control->cancel_requests()).empty());
    // Asked once more: too late, and nothing is left of the request.
    ask(b, id);
    const auto late = b.await(b.control->settle_cancels(100));
    REQUIRE(late.size() <= 1);
    if (!late.empty()) CHECK(late[0].before == late[0].now);
    CHECK(b.await(b.control->cancel_requests()).empty());
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted control: a running job that is to be cancelled ends so, whatever becomes of it") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const Ids ids = b.insert(3);
    const NodeIdentity node = b.node();
    std::vector<ClaimedJob> claimed;
    for (int i = 0; i < 3; ++i) claimed.push_back(b.claim(node, 1).at(0));  // each under its own claim
    for (const std::string& id : ids) CHECK(ask(b, id) == "requested");
    CHECK(b.await(b.control->settle_cancels(100)).empty());  // they run
    CHECK(b.complete({claimed[0]}).size() == 1);
    CHECK(b.end({claimed[1]}, Outcome(Retry("flaky", "not yet"))).size() == 1);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text IN ({completed}, {pending})") == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.job_attempt WHERE outcome = 'cancelled' AND error_message LIKE 'cancelled by %: enough'") == 2);
    b.exec("UPDATE rowcrew.node SET dead = true");
    const ReapedPage reaped = b.await(b.jobs->reap(3, 0));
    REQUIRE(reaped.jobs.size() == 1);
    CHECK(reaped.jobs[0].status == "cancelled");
    CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text IN ({completed}, {pending}, {processing})") == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted control: a job is cancelled and explained by its key however that is written, or its node would not know it") {
  for (const char* map : {"jobs", "django"}) {
    CAPTURE(map);
    AdoptionBench b(map);
    b.serve();
    const std::string id = b.insert(1)[0];
    b.claim(b.node());
    b.exec("UPDATE {t} SET {s} = {pending}");  // held
    const std::string written = b.value("SELECT CASE WHEN $1 LIKE '%-%' THEN upper($1) ELSE '00' || $1 END", Params{}.add(id));
    CHECK(b.rowcrew({"why", b.fixture.name + (":" + written)}).out.find("was held") != std::string::npos);
    CHECK(ask(b, written) == "requested");
    const auto requests = b.await(b.control->cancel_requests());
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].id == id);
  }
}

TEST_CASE("adopted control: what a running job says of itself is kept, under its claim only") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    AdoptionBench b(fixture.map);
    b.serve();
    const std::string id = b.insert(1)[0];
    const auto claimed = b.claim(b.node());
    ProgressWord word;
    word.id = id;
    word.token = claimed[0].job.claim_token;
    word.percent = 40;
    word.checkpoint = R"({"page": 4})";
    CHECK(b.await(b.control->write_progress({word})) == Ids{id});
    CHECK(b.await(b.control->last_checkpoint(fixture.name, id)) == R"({"page": 4})");
    word.token += 1;
    CHECK(b.await(b.control->write_progress({word})).empty());
  }
}

TEST_CASE("adopted control: ages are told as far as the map names columns for them") {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  b.claim(b.node());
  const auto ages = b.await(b.control->ages({id}));
  REQUIRE(ages.size() == 1);
  CHECK(ages[0].since_created == 0ms);

  AdoptionBench named("jobs");
  std::string map = named.map_text();
  map.replace(map.find("columns:\n"), 9, "columns:\n  created_at: created_at\n");
  const CommandAnswer answer = named.adopt(map);
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  named.reopen();
  const std::string old = named.insert(1)[0];
  named.exec("UPDATE {t} SET created_at = created_at - interval '1 hour'");
  named.claim(named.node());
  const auto told = named.await(named.control->ages({old}));
  REQUIRE(told.size() == 1);
  CHECK(told[0].since_created >= 3'599'000ms);
  named.exec("UPDATE {t} SET created_at = '-infinity'");
  CHECK(named.await(named.control->ages({old})).at(0).since_created > 50 * 365 * 24h);
}

TEST_CASE("adopted control: jobs that an old worker runs are none of ours to cancel, and do not keep others from it") {
  AdoptionBench b("rails");
  b.serve();
  const Ids ids = b.insert(4);
  b.exec("UPDATE {t} SET {s} = {processing} WHERE id <> " + ids[3]);
  CHECK(ask(b, ids[0]) == "foreign");
  CHECK(b.value("SELECT rowcrew.adopted_act_preview('cancel', '{\"table\": \"shop_background_jobs\", \"all\": true}')") == "1");
  // Asked for while they waited.
  b.exec("SELECT rowcrew.adopted_request_cancel('shop_background_jobs', ARRAY(SELECT id::text FROM {t}), 'enough')");
  const auto settled = b.await(b.control->settle_cancels(1));
  REQUIRE(settled.size() == 1);
  CHECK(settled[0].id == ids[3]);
}

TEST_CASE("adopted control: who may not read the table is told what to ask for, and asks for no end" * with_roles()) {
  AdoptionBench b("jobs");
  b.serve();
  const std::string id = b.insert(1)[0];
  const LoginRole login(b.db, "rowcrew_operator");
  const std::string cancel = "SELECT rowcrew.adopted_cancel('public_jobs', '" + id + "')";
  CHECK_THROWS_WITH(login.value(cancel), doctest::Contains(("GRANT SELECT ON public.jobs TO " + login.name()).c_str()));
  b.exec("GRANT SELECT ON {t} TO rowcrew_operator");
  CHECK(login.value(cancel) == "requested");
  CHECK(b.value("SELECT string_agg(requested_by, ',') FROM rowcrew.cancel_request") == login.name());
  b.exec("DELETE FROM rowcrew.cancel_request; UPDATE {t} SET {s} = {completed}");
  CHECK(login.value(cancel) == "ended");
  CHECK(b.number("SELECT count(*) FROM rowcrew.cancel_request") == 0);
}

TEST_CASE("adopted control: a job that comes after an act began is not meant by it") {
  AdoptionBench b("jobs");
  std::string map = b.map_text();
  map.replace(map.find("columns:\n"), 9, "columns:\n  created_at: created_at\n");
  REQUIRE(b.adopt(map).code == 0);
  b.reopen();
  const auto act = [&](const std::string& what) {
    return b.value("SELECT rowcrew.act_begin('" + what + "', '{\"table\": \"public_jobs\", \"all\": true}')::text");
  };
  const auto number = [&](const std::string& column, const std::string& of) {
    return b.number("SELECT " + column + " FROM rowcrew.act_step(" + of + ", 100)");
  };
  b.insert(2);
  b.end(b.claim(b.node(), 1), Outcome(Failed("x", "y")));
  const std::string redrive = act("redrive");
  b.end(b.claim(b.node(), 1), Outcome(Failed("x", "y")));
  CHECK(number("changed", redrive) == 1);
  const std::string cancel = act("cancel");
  b.insert(1);
  CHECK(number("requested", cancel) == 1);
}
