// Limits and rates for jobs of adopted tables: whose own inserts know nothing of rules, so that claims file them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "adoption_bench.hpp"
#include "support/permit_exchange.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

struct LimitedTable : AdoptionBench {
  explicit LimitedTable(std::string_view map = "job_queue") : AdoptionBench(map), permits(io, pool, [this] { return next_token++; }) {}

  /// A table whose rows have a tenant: adopted with a map that says so.
  void serve_tenants() {
    db.exec("ALTER TABLE public.job_queue ADD tenant text");
    std::string text = map_text();
    const std::string columns = "columns:\n";
    text.insert(text.find(columns) + columns.size(), "  tenant: tenant\n");
    const CommandAnswer answer = adopt(text);
    CAPTURE(answer.err);
    REQUIRE(answer.code == 0);
    reopen();
  }
  void set(const std::string& name, const std::string& arguments) { query("SELECT rowcrew.limit_set('" + name + "', " + arguments + ")"); }
  /// First come, first filed.
  Ids add(const std::string& tenant, int count, const std::string& payload = "{}") {
    const Rows rows = query("INSERT INTO public.job_queue (job_type, tenant, payload) SELECT 'noop', nullif($1::text, ''), $2::jsonb FROM generate_series(1, $3::int)"
                            " RETURNING id::text", Params{}.add(tenant).add(payload).add(count));
    Ids ids;
    for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
    return ids;
  }
  /// As one exchange of a node does it: others first, which moves what rules are about, then those.
  Took take(NodeIdentity by, std::size_t count, const std::vector<ClaimedJob>& done = {}, bool walk = true) {
    if (walk) others = claim(by, count);
    return permits.take(*jobs, {by, "default", count, walk, "", std::nullopt}, ended(done, Completed()));
  }
  void end_alone(const std::vector<ClaimedJob>& done, const Outcome& outcome) { permits.end_alone(*jobs, 1, ended(done, outcome)); }
  std::int64_t out(const std::string& key) { return std::stoll(value(kPermitsOut, Params{}.add(key))); }
  std::int64_t all_out() {
    return number("SELECT coalesce(sum(held), 0) - (SELECT coalesce(sum(n), 0) FROM rowcrew.limit_freed) FROM rowcrew.limit_key");
  }
  nlohmann::json why(const std::string& id) {
    const CommandAnswer answer = rowcrew({"why", std::string(fixture.name) + ":" + id, "--json"});
    CAPTURE(answer.err);
    REQUIRE(answer.code == 0);
    return nlohmann::json::parse(answer.out);
  }

  PermitExchange permits;
  std::vector<ClaimedJob> others;  ///< of the last take()
};

}  // namespace

TEST_CASE("adopted limits: no more run at once than a rule allows, on any of the tables, and all run in the end") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    LimitedTable b(fixture.map);
    b.serve();
    b.set("two", "p_type => 'noop', p_running => 2");
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(5);
    CHECK(b.hints(ids[0]) == "ready");  // the application's insert computes no key
    Took took = b.take(node, 10);
    CHECK(b.others.empty());
    REQUIRE(took.jobs.size() == 2);
    CHECK(took.jobs[0].job.attempt == 1);
    CHECK(took.jobs[0].job.payload.size() > 1);
    CHECK(b.status(took.jobs[0].job.id) == fixture.words[1]);
    CHECK(b.out("two") == 2);
    CHECK(b.take(node, 10).jobs.empty());
    CHECK(b.number("SELECT count(*) FROM {limited}") == 3);
    int done = 0;
    while (!took.jobs.empty()) {  // each end hands its permits on, in its own transaction
      done += static_cast<int>(took.jobs.size());
      took = b.take(node, 2, took.jobs, false);
      CHECK(took.jobs.size() <= 2);
    }
    CHECK(done == 5);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE {s}::text = {completed}") == 5);
    CHECK(b.number("SELECT count(*) FROM {claim}") == 0);
    CHECK(b.number("SELECT count(*) FROM {job}") == 0);
    CHECK(b.all_out() == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted limits: a rule by tenant or by a field counts each value by itself, and a job without one is not limited") {
  LimitedTable b;
  b.serve_tenants();
  b.set("tenants", "p_by => 'tenant', p_running => 1");
  b.set("accounts", "p_by => 'payload.account', p_running => 2");
  const NodeIdentity node = b.node();
  b.add("a", 3);
  b.add("b", 1, R"({"account": 7})");
  b.add("", 4, R"({"account": 7})");
  const Ids free = b.add("", 2);
  const Took took = b.take(node, 20);
  CHECK(b.others.size() == 2);
  for (const ClaimedJob& job : b.others) CHECK(std::count(free.begin(), free.end(), job.job.id) == 1);
  CHECK(took.jobs.size() == 3);
  CHECK(b.out("tenants:a") == 1);
  CHECK(b.out("accounts:7") == 2);
}

TEST_CASE("adopted limits: a rate counts what has started, by weight") {
  LimitedTable b;
  b.serve_tenants();
  b.set("images", "p_units => 5, p_per => interval '1 hour', p_weight => 'payload.images'");
  const NodeIdentity node = b.node();
  const Ids ids = b.add("", 4, R"({"images": 2})");
  const Took took = b.take(node, 20);
  CHECK(took.jobs.size() == 2);
  CHECK(b.take(node, 20).answer.look.value_or(0ms) > 59min);
  CHECK(b.why(ids[3]).at("reason") == "rate");
  b.set("images", "p_units => 9, p_per => interval '1 hour', p_weight => 'payload.images'");
  CHECK(b.take(node, 20).jobs.size() == 2);
}

TEST_CASE("adopted limits: what a rate was charged for jobs that no handler serves, or that are paused, is given back") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    LimitedTable b(fixture.map);
    b.serve();
    b.set("calls", "p_type => 'noop', p_units => 3, p_per => interval '1 hour'");
    b.insert(8);
    const NodeIdentity node = b.node();
    const auto spent = [&] { return b.number("SELECT sum(units) FROM rowcrew.limit_start"); };
    const Took unserved = b.take(node, 10);
    REQUIRE(unserved.jobs.size() == 3);
    std::vector<Job> jobs;
    for (const ClaimedJob& job : unserved.jobs) jobs.push_back(job.job);
    b.await(b.jobs->park_unserved(jobs, {jobs[0].claim_token}, 1h));
    CHECK(spent() == 0);
    b.query("SELECT rowcrew.pause('type', 'noop')");
    const Took paused = b.take(node, 10);
    REQUIRE(paused.jobs.size() == 3);
    CHECK(spent() == 3);
    Ids ids;
    for (const ClaimedJob& job : paused.jobs) ids.push_back(job.job.id);
    const std::int64_t token = paused.jobs[0].job.claim_token;
    b.await(b.control->hold(ids, std::vector<std::int64_t>(3, token), {token}));
    CHECK(spent() == 0);
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE key = 'type:noop'") == 5);  // the other two need no claim
  }
}

TEST_CASE("adopted limits: permits of a node that died come back, and what it ran is claimed behind its keys again") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    LimitedTable b(fixture.map);
    b.serve();
    b.set("one", "p_type => 'noop', p_running => 1");
    b.insert(2);
    for (const int deaths : {1, 2}) {
      const NodeIdentity node = b.node();
      CAPTURE(deaths);
      Took took = b.take(node, 5);
      REQUIRE(took.jobs.size() == 1);
      CHECK(took.jobs[0].job.crashes <= deaths - 1);
      b.exec("UPDATE rowcrew.node SET dead = true");
      CHECK(b.await(b.jobs->reap(3, 0)).jobs.size() == 1);
      CHECK(b.out("one") == 0);
      // One that met a death once waits among its group.
      const NodeIdentity other = b.node();
      ClaimWant want;
      want.queue = "default";
      want.count = 5;
      CHECK(b.await(b.jobs->claim_rescued({b.next_token++}, other, {want}, std::nullopt)).empty());
    }
    b.exec("UPDATE {job} SET crashes = 2");
    b.exec("DELETE FROM {limited}; DELETE FROM {ready}; DELETE FROM {parked}");
    b.exec("INSERT INTO {parked} (run_at, id, priority, queue, reason) SELECT now() - interval '1 s', id, 5, 'default', 'suspect' FROM {job}");
    const NodeIdentity node = b.node();
    const auto suspect = b.await(b.jobs->claim_suspect(b.next_token++, node, {"default"}));
    REQUIRE(suspect.size() == 1);
    CHECK(b.out("one") == 1);
    CHECK(b.await(b.jobs->claim_suspect(b.next_token++, node, {"default"})).empty());  // there is no room for it
    b.permits.note(suspect);
    b.end_alone(suspect, Completed());
    CHECK(b.out("one") == 0);
    CHECK(b.number("SELECT count(*) FROM rowcrew.adopted_conflict") == 0);
  }
}

TEST_CASE("adopted limits: a rule that is made, changed or removed holds for what waits already") {
  LimitedTable b;
  b.serve_tenants();
  const NodeIdentity node = b.node();
  const Ids ids = b.add("a", 6);
  b.set("tenants", "p_by => 'tenant', p_running => 1");
  const Took one = b.take(node, 20);
  REQUIRE(one.jobs.size() == 1);
  CHECK(b.hints(ids[5]) == "limited");
  b.set("all", "p_running => 2");
  CHECK(b.hints(ids[5]) == "ready");
  b.query("SELECT rowcrew.limit_remove('tenants')");
  const Took two = b.take(node, 20);
  CHECK(two.jobs.size() == 2);  // the one before took no permit of this rule
  b.query("SELECT rowcrew.limit_remove('all')");
  CHECK(b.claim(node).size() == 3);
  CHECK(b.number("SELECT count(*) FROM {limited}") == 0);
  b.complete(one.jobs);
  b.complete(two.jobs);
  b.query("SELECT rowcrew.forget_keys(NULL)");
  CHECK(b.all_out() == 0);
}

TEST_CASE("adopted limits: jobs that the application changes, moves or deletes while they wait keep no permit and no other job") {
  LimitedTable b;
  b.serve_tenants();
  b.set("one", "p_running => 1");
  const NodeIdentity node = b.node();
  const Ids ids = b.add("a", 7);
  const Took first = b.take(node, 5);
  REQUIRE(first.jobs.size() == 1);
  const std::string wait = "(SELECT id FROM public.job_queue WHERE status = 'pending' ORDER BY id LIMIT 1)";
  b.exec("DELETE FROM public.job_queue WHERE id = " + wait);
  b.exec("UPDATE public.job_queue SET status = 'completed' WHERE id = " + wait);
  b.exec("UPDATE public.job_queue SET scheduled_at = now() + interval '1 hour' WHERE id = " + wait);
  b.end_alone(first.jobs, Completed());
  int ran = 0;
  for (Took took = b.take(node, 5); !took.jobs.empty() || took.answer.look == 0ms; took = b.take(node, 5, took.jobs)) ran += static_cast<int>(took.jobs.size());
  CHECK(ran == 3);
  CHECK(b.all_out() == 0);
  CHECK(b.number("SELECT count(*) FROM {limited}") == 0);
  CHECK(b.number("SELECT count(DISTINCT id) FROM {parked} WHERE reason = 'scheduled'") == 1);
  // The row of one that runs is deleted, then all are.
  b.add("a", 3);
  CHECK(b.take(node, 5).jobs.size() == 1);
  b.exec("DELETE FROM public.job_queue WHERE status = 'processing'");
  b.exec("UPDATE rowcrew.node SET dead = true");
  b.await(b.jobs->reap(3, 0));
  CHECK(b.all_out() == 0);
  CHECK(b.take(b.node(), 5).jobs.size() == 1);
  b.exec("TRUNCATE public.job_queue");
  CHECK(b.all_out() == 0);
  CHECK(b.number("SELECT count(*) FROM {limited}") == 0);
}

TEST_CASE("adopted limits: a job whose row the application's trigger refuses is laid aside, those behind its key go on") {
  LimitedTable b;
  b.serve_tenants();
  b.set("one", "p_running => 1");
  const Ids bad = b.add("bad", 1);
  b.add("good", 2);
  b.db.exec("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;"
            "CREATE TRIGGER no BEFORE UPDATE ON public.job_queue FOR EACH ROW WHEN (NEW.tenant = 'bad') EXECUTE FUNCTION public.no()");
  const NodeIdentity node = b.node();
  CHECK_THROWS_AS(b.take(node, 5), DbError);
  b.permits.around = true;
  const Took took = b.take(node, 5);
  REQUIRE(took.jobs.size() == 1);
  REQUIRE(took.unclaimable.size() == 1);
  CHECK(took.unclaimable[0].id == bad[0]);
  CHECK(took.unclaimable[0].error == "P0001: not this one");
  CHECK(b.hints(bad[0]) == "parked:unclaimable");
  CHECK(b.why(bad[0]).at("reason") == "unclaimable");
  CHECK(b.why(bad[0]).at("text").get<std::string>().find("not this one") != std::string::npos);
  b.permits.around = false;
  CHECK(b.take(node, 5, took.jobs).jobs.size() == 1);
}

TEST_CASE("adopted limits: a payload that cannot be read is met by the claim that comes to it, and moves nobody else's job away") {
  LimitedTable b;
  b.db.exec("ALTER TABLE public.job_queue ADD words text NOT NULL DEFAULT '{}'");
  std::string text = b.map_text();
  text.replace(text.find("payload: payload"), 16, "payload: words::jsonb");
  REQUIRE(b.adopt(text).code == 0);
  b.reopen();
  b.set("one", "p_running => 1");
  b.query("INSERT INTO public.job_queue (job_type) SELECT 'noop' FROM generate_series(1, 3)");
  b.query("INSERT INTO public.job_queue (job_type, words) VALUES ('noop', 'no json')");
  const NodeIdentity node = b.node();
  CHECK(b.claim(node, 1).empty());  // moves this one, and no others beside it
  CHECK(b.number("SELECT count(*) FROM {limited}") == 1);
  CHECK(b.claim(node, 2).empty());
  CHECK(b.number("SELECT count(*) FROM {limited}") == 3);
  CHECK_THROWS_AS(b.claim(node, 1), DbError);
}

TEST_CASE("adopted limits: why names the key that has no room, who holds it, and a pause of tenant or key") {
  LimitedTable b;
  b.serve_tenants();
  b.set("tenants", "p_by => 'tenant', p_running => 1");
  b.set("lane", "p_type => 'noop'");
  const NodeIdentity node = b.node();
  const Ids ids = b.add("a", 2);
  const Took took = b.take(node, 1);
  REQUIRE(took.jobs.size() == 1);
  const std::string waits = took.jobs[0].job.id == ids[0] ? ids[1] : ids[0];
  const nlohmann::json answer = b.why(waits);
  CHECK(answer.at("reason") == "limit");
  CHECK(answer.at("text") == "limit tenants:a is full: 1 of 1 run, among them " + took.jobs[0].job.id);
  b.query("SELECT rowcrew.pause('key', 'lane', 'they are down')");
  CHECK(b.why(waits).at("text").get<std::string>().starts_with("key lane is paused by "));
  b.end_alone(took.jobs, Completed());
  CHECK(b.take(node, 5).jobs.empty());
  b.query("SELECT rowcrew.resume('key', 'lane')");
  b.query("SELECT rowcrew.pause('tenant', 'a', 'not paid')");
  CHECK(b.why(waits).at("text").get<std::string>().starts_with("tenant a is paused by "));
  const Took meets = b.take(node, 5);
  REQUIRE(meets.jobs.size() == 1);
  const Ids held = b.await(b.control->paused_among({meets.jobs[0].job.id}));
  CHECK(held == Ids{waits});
  b.await(b.control->hold({waits}, {meets.jobs[0].job.claim_token}, {meets.jobs[0].job.claim_token}));
  CHECK(b.hints(waits) == "parked:paused");
  CHECK(b.all_out() == 0);
  CHECK(b.await(b.control->held_keys()) == Ids{"tenant:a"});
  b.query("SELECT rowcrew.resume('tenant', 'a')");
  CHECK(b.await(b.control->release("tenant:a", 10)) == 1);
  CHECK(b.take(node, 5).jobs.size() == 1);
}

TEST_CASE("adopted limits: what has lost its hint is found and filed behind its keys, and what waits there is not filed twice") {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    CAPTURE(fixture.map);
    LimitedTable b(fixture.map);
    b.serve();
    b.set("none", "p_type => 'noop', p_running => 0");
    const Ids ids = b.insert(2);
    const NodeIdentity node = b.node();
    CHECK(b.take(node, 5).jobs.empty());
    CHECK(b.hints(ids[0]) == "limited");
    CHECK(b.await(b.jobs->audit_find(0, 100)).empty());
    b.query("DELETE FROM {limited} WHERE id::text = $1::text", Params{}.add(ids[0]));
    const Ids lost = b.await(b.jobs->audit_find(0, 100));
    REQUIRE(lost.size() == 1);
    CHECK(b.await(b.jobs->audit_heal(lost)).size() == 1);
    b.await(b.jobs->promote(10));
    CHECK(b.take(node, 5).jobs.empty());
    CHECK(b.number("SELECT count(*) FROM {limited}") == 2);
  }
}

TEST_CASE("adopted limits: giving the table back gives its permits back") {
  LimitedTable b;
  b.serve_tenants();
  b.set("two", "p_running => 2");
  b.add("a", 3);
  CHECK(b.take(b.node(), 5).jobs.size() == 2);
  CHECK(b.rowcrew({"unadopt", "public.job_queue", "--force"}).code == 0);
  CHECK(b.all_out() == 0);
  CHECK(b.number("SELECT count(*) FROM pg_proc WHERE proname LIKE 'public_job_queue%'") == 0);
  CHECK(b.number("SELECT count(*) FROM pg_class WHERE relnamespace = 'rowcrew'::regnamespace AND relname LIKE 'public_job_queue%'") == 0);
}

TEST_CASE("adopted limits: a field that the table has no column for, and a tenant that the map does not name, are refused") {
  LimitedTable b("django");
  const std::string map = b.map_text();
  REQUIRE(b.adopt(map.substr(0, map.find("payload:")) + "old_worker: none\n").code == 0);  // the payload is the row
  CHECK(b.rowcrew({"limit", "set", "x", "--type", "noop", "--by", "payload.colour", "--running", "1"}).err.find("by") != std::string::npos);
  CHECK(b.rowcrew({"limit", "set", "x", "--type", "noop", "--by", "tenant", "--running", "1"}).code != 0);
  CHECK(b.rowcrew({"limit", "set", "x", "--type", "noop", "--by", "payload.user_id", "--running", "1"}).code == 0);
  CHECK(b.rowcrew({"limit", "set", "y", "--queue", "q", "--by", "tenant", "--running", "1"}).code == 0);  // of our own tables, which had no job yet
}
