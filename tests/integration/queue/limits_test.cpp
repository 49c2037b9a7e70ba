#include "held_transaction.hpp"
#include "limits_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("limits: no more run at once than a key allows, and each key by itself") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    LimitsBench b(table);
    b.set("per-tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
    const NodeIdentity node = b.node();
    b.insert(5, "tenant", "'a'");
    b.insert(1, "tenant", "'b'");
    b.insert(1);  // without a value: no rule is about it
    CHECK(b.count("{ready}") == 1);
    const Took took = b.take(node, 10);
    CHECK(took.jobs.size() == 3);
    CHECK(took.answer.look == 200ms);
    CHECK(b.out("per-tenant:a") == 2);
    CHECK(b.take(node, 10).jobs.empty());
  }
}

TEST_CASE("limits: the end of a job hands its permits to the next of its group in the same transaction") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  const Ids ids = b.insert(3);
  const Took first = b.take(node, 5);
  REQUIRE(first.jobs.size() == 1);
  const Took second = b.take(node, 1, first.jobs, false);
  REQUIRE(second.jobs.size() == 1);
  CHECK(b.status(first.jobs[0].job.id) == "completed");
  CHECK(b.status(second.jobs[0].job.id) == "processing");
  CHECK(b.out("one") == 1);
  CHECK(b.count("{claim}") == 1);
  CHECK(b.count("rowcrew.limit_freed") == 0);
}

TEST_CASE("limits: jobs of one claim give their permits back one by one") {
  LimitsBench b;
  b.set("some", "p_queue => 'q', p_running => 3");
  const NodeIdentity node = b.node();
  b.insert(5);
  const Took three = b.take(node, 5);
  REQUIRE(three.jobs.size() == 3);
  CHECK(b.count("{claim}") == 1);
  const Took fourth = b.take(node, 1, {three.jobs[1]}, false);
  REQUIRE(fourth.jobs.size() == 1);
  CHECK(b.out("some") == 3);
  b.end_alone({three.jobs[0]}, Failed("broken", "it broke"));
  CHECK(b.out("some") == 2);
  b.end_alone({three.jobs[2]}, Completed());
  b.end_alone(fourth.jobs, Completed());
  CHECK(b.out("some") == 0);
  CHECK(b.count("{claim}") == 0);
}

TEST_CASE("limits: permits come back once, also where two ends of a claim are told of in the wrong order") {
  for (const char* table : kJobTables) {
    LimitsBench b(table);
    b.set("some", "p_queue => 'q', p_running => 4");
    const NodeIdentity node = b.node(1);
    b.insert(4);
    const Took took = b.take(node, 4);
    REQUIRE(took.jobs.size() == 4);
    const std::int64_t token = took.jobs.front().job.claim_token;
    b.await(b.jobs.lower_held({{token, 1}}, node.node_id));
    b.await(b.jobs.lower_held({{token, 3}}, node.node_id));
    CHECK(b.number("SELECT held FROM {claim}") == 1);
    CHECK(b.out("some") == 1);
    b.await(b.jobs.drop_claims({token}, node.node_id));
    CHECK(b.out("some") == 0);
  }
}

TEST_CASE("limits: a suspect that left its hint behind is taken neither by a walk nor by an end") {
  for (const char* table : kJobTables) {
    LimitsBench b(table);
    b.set("one", "p_queue => 'q', p_running => 1");
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(4);
    const auto met_two_deaths = [&](const std::string& id) { b.query("UPDATE {t} SET crashes = 2 WHERE id = $1::uuid", Params{}.add(id)); };
    met_two_deaths(ids[0]);
    CHECK(b.take(node, 1).jobs.empty());  // its hint
    const Took walked = b.take(node, 1);
    CHECK(ids_of(walked.jobs) == Ids{ids[1]});
    met_two_deaths(ids[2]);
    Took handed = b.take(node, 1, walked.jobs);
    if (handed.jobs.empty()) handed = b.take(node, 1);
    CHECK(ids_of(handed.jobs) == Ids{ids[3]});
    CHECK(b.number("SELECT count(*) FROM {t} WHERE crashes = 2 AND status = 'pending'") == 2);
  }
}

TEST_CASE("limits: jobs without a free slot are claimed only of keys of which half and eight permits are left") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    LimitsBench b(table);
    b.set("per-tenant", "p_queue => 'q', p_by => 'tenant', p_running => 20");
    const NodeIdentity node = b.node();
    for (const char* tenant : {"'a'", "'b'", "'c'"}) b.insert(40, "tenant", tenant);
    b.take(node, 50, {}, true, "", 5);
    CHECK(b.out("per-tenant:a") == 20);  // its jobs are the first, for the slots
    CHECK(b.out("per-tenant:b") == 10);
    CHECK(b.out("per-tenant:c") == 10);
    const Took more = b.take(node, 50, {}, true, "", 0);
    CHECK(more.answer.look == 0ms);  // others wait
    CHECK(b.out("per-tenant:a") == 20);
    CHECK(b.out("per-tenant:b") == 12);
    CHECK(b.out("per-tenant:c") == 12);
    CHECK(b.take(node, 50, {}, true, "", 0).jobs.empty());
    b.set("rate", "p_queue => 'q', p_units => 1000, p_per => '1 hour'");
    CHECK(b.take(node, 50, {}, true, "", 0).jobs.empty());
    CHECK(b.take(node, 50, {}, true, "", 3).jobs.size() == 3);
  }
}

TEST_CASE("limits: a claim steps around a job whose row somebody holds, and takes it when it is let go") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    LimitsBench b(table);
    b.set("per-tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(4, "tenant", "'a'");
    b.insert(1, "tenant", "'b'");
    HeldTransaction person(b.db, b.named("SELECT FROM {t} WHERE id = '" + ids[0] + "' FOR UPDATE"));
    CHECK_THROWS_AS(b.take(node, 10), DbError);
    b.permits.around = true;
    const Took took = b.take(node, 10);
    CHECK(took.jobs.size() == 3);
    CHECK(b.out("per-tenant:a") == 2);
    CHECK(b.status(ids[0]) == "pending");
    person.commit();
    b.permits.around = false;
    const Took rest = b.take(node, 10, took.jobs, false);
    CHECK(rest.jobs.size() == 2);
    CHECK(b.status(ids[0]) == "processing");
  }
}

TEST_CASE("limits: a claim whose node dies gives back the permits of those that still ran") {
  LimitsBench b;
  b.set("some", "p_queue => 'q', p_running => 3");
  const NodeIdentity node = b.node();
  b.insert(3);
  const Took three = b.take(node, 5);
  b.end_alone({three.jobs[0]}, Completed());
  CHECK(b.out("some") == 2);
  b.kill(node);
  b.await(b.jobs.reap(3, 0));
  CHECK(b.out("some") == 0);
}

TEST_CASE("limits: stale hints before it keep no job from its permit") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert(50);
  b.ddl("ALTER TABLE rowcrew.job_queue DISABLE TRIGGER USER; UPDATE rowcrew.job_queue SET status = 'cancelled'; ALTER TABLE rowcrew.job_queue ENABLE TRIGGER USER");
  const std::string id = b.insert_one();
  CHECK(b.take(node, 1).answer.look == 0ms);
  const Took took = b.take(node, 1);
  REQUIRE(took.jobs.size() == 1);
  CHECK(took.jobs[0].job.id == id);
}

TEST_CASE("limits: whatever removes a claim gives its permits back") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert(4);
  const auto running = [&] {
    const Took took = b.take(node, 1);
    REQUIRE(took.jobs.size() == 1);
    return took.jobs;
  };
  b.complete(running());
  CHECK(b.out("one") == 0);
  b.end(running(), Failed("broken", "it broke"));
  CHECK(b.out("one") == 0);
  const auto handed = running();
  b.await(b.jobs.hand_back(handed[0].job.claim_token, node.node_id));
  CHECK(b.out("one") == 0);
  running();
  b.kill(node);
  b.await(b.jobs.reap(3, 0));
  CHECK(b.out("one") == 0);
}

TEST_CASE("limits: an end that was refused frees the permits of its own claim, not those of the next") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  const std::string id = b.insert_one();
  const Took first = b.take(node, 1);
  b.exec("UPDATE {t} SET status = 'pending'");  // by hand: its handler still runs
  CHECK(b.take(node, 1).jobs.empty());
  const Took again = b.take(node, 1, first.jobs);
  REQUIRE(again.jobs.size() == 1);
  CHECK(b.out("one") == 1);
  CHECK(b.status(id) == "processing");
}

TEST_CASE("limits: a job of a dead node waits for permits like any other") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity dead = b.node(11);
  const NodeIdentity node = b.node(12);
  b.insert(2);
  const Took lost = b.take(dead, 1);
  b.kill(dead);
  b.await(b.jobs.reap(3, 0));
  CHECK(b.hints(lost.jobs[0].job.id) == "limited");
  const Took next = b.take(node, 2);
  REQUIRE(next.jobs.size() == 1);
  CHECK(b.take(node, 2).jobs.empty());
}

TEST_CASE("limits: a suspect runs only when its keys have room") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert_one();
  const std::string suspect = b.insert_one("crashes", "2");
  const Took other = b.take(node, 1);
  CHECK(b.claim_suspect(node).empty());
  CHECK(b.hints(suspect) == "parked:suspect");
  b.complete(other.jobs);
  CHECK(b.claim_suspect(node).size() == 1);
  CHECK(b.out("one") == 1);
}

TEST_CASE("limits: a cap that is lowered lets no end hand over until the key is below it, a raised one holds at once") {
  LimitsBench b;
  b.set("some", "p_queue => 'q', p_running => 3");
  const NodeIdentity node = b.node();
  b.insert(9);
  const Took three = b.take(node, 9);
  REQUIRE(three.jobs.size() == 3);
  b.set("some", "p_queue => 'q', p_running => 1");
  CHECK(b.take(node, 1, {three.jobs[0]}).jobs.empty());
  CHECK(b.take(node, 1, {three.jobs[1]}).jobs.empty());
  CHECK(b.out("some") == 1);
  CHECK(b.take(node, 1, {three.jobs[2]}).jobs.size() == 1);
  b.set("some", "p_queue => 'q', p_running => 4");
  CHECK(b.take(node, 9).jobs.size() == 3);
}

TEST_CASE("limits: a job with several keys takes all of them or none") {
  LimitsBench b;
  b.set("all", "p_queue => 'q', p_running => 3");
  b.set("tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
  const NodeIdentity node = b.node();
  b.insert(5, "tenant", "'a'");
  b.insert(5, "tenant", "'b'");
  CHECK(b.take(node, 10).jobs.size() == 3);
  CHECK(b.out("all") == 3);
  CHECK(b.out("tenant:a") + b.out("tenant:b") == 3);
}

TEST_CASE("limits: the end of a job with several keys hands all of them over, in whatever order they were read") {
  LimitsBench b;
  for (const char* name : {"d", "a", "c", "b"}) b.set(name, "p_queue => 'q', p_by => 'tenant', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert(6, "tenant", "'t'");
  Took last = b.take(node, 1);
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    REQUIRE(last.jobs.size() == 1);
    CHECK(b.value("SELECT keys::text FROM {claim}") == "{a:t,b:t,c:t,d:t}");
    last = b.take(node, 1, last.jobs, false);
  }
  CHECK(b.count("rowcrew.limit_freed") == 0);
}

TEST_CASE("limits: what becomes due later is filed behind its rules") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const std::string id = b.insert_one("scheduled_at", "now() + interval '50 min'");
  CHECK(b.hints(id) == "parked:scheduled");
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
  CHECK(b.await(b.jobs.promote(10)).jobs == 1);
  CHECK(b.hints(id) == "limited");
}

TEST_CASE("limits: a paused key is not taken from, its rule's other keys are") {
  LimitsBench b;
  b.set("tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
  const NodeIdentity node = b.node();
  b.insert(1, "tenant", "'a'");
  b.insert(1, "tenant", "'b'");
  b.exec("SELECT rowcrew.pause('key', 'tenant:a', 'on request', interval '10 min')");
  const Took took = b.take(node, 5);
  REQUIRE(took.jobs.size() == 1);
  REQUIRE(took.answer.look);
  CHECK(b.out("tenant:a") == 0);
  b.exec("SELECT rowcrew.resume('key', 'tenant:a')");
  CHECK(b.take(node, 5).jobs.size() == 1);
}

TEST_CASE("limits: a job filed while somebody was awake keeps the leader from going to sleep") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  CHECK_FALSE(b.await(b.jobs.pulse({"q"})).ready);
  b.insert_one();
  CHECK(b.await(b.jobs.pulse({"q"})).ready);
}

TEST_CASE("limits: keys that nobody holds are forgotten, also those that never come back") {
  LimitsBench b;
  b.set("tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
  const NodeIdentity node = b.node();
  b.insert(1, "tenant", "'a'");
  const Took a = b.take(node, 10);
  b.insert(2, "tenant", "'b'");
  CHECK(b.take(node, 10).jobs.size() == 2);
  b.end_alone(a.jobs, Completed());
  CHECK(b.count("rowcrew.limit_freed") == 1);
  CHECK(b.forget_keys() == 0);
  CHECK(b.value("SELECT string_agg(key, ',') FROM rowcrew.limit_key") == "tenant:b");
  CHECK(b.count("rowcrew.limit_freed") == 0);
  CHECK(b.out("tenant:b") == 2);
  CHECK(b.forget_keys() == 0);
}

TEST_CASE("limits: one look reads a page of the keys, however many there are, and tells where the next begins") {
  LimitsBench b;
  b.set("tenant", "p_queue => 'q', p_by => 'tenant', p_running => 2");
  b.exec("INSERT INTO rowcrew.limit_key (key, held) SELECT 'tenant:' || 1000 + i, 1 FROM generate_series(1, 250) i");
  b.exec("INSERT INTO rowcrew.limit_freed (key, n) SELECT 'tenant:' || 1000 + i, 1 FROM generate_series(1, 250) i");
  b.exec("UPDATE rowcrew.limit_key SET held = 2 WHERE key IN ('tenant:1003', 'tenant:1203')");
  const Rows first = b.run(sql::node_forget_keys, Params{}.add(std::nullopt));
  CHECK(first.integer(0, 0) == 1);
  CHECK(first.text(0, 1) == "tenant:1100");
  CHECK(b.count("rowcrew.limit_freed") == 150);
  CHECK(b.count("rowcrew.limit_key") == 150);
  CHECK(b.forget_keys() == 1);
  CHECK(b.count("rowcrew.limit_key") == 0);
}

TEST_CASE("limits: starts that no window holds any more go in pages, also those of a key that has no row") {
  LimitsBench b;
  b.set("day", "p_queue => 'q', p_units => 100000, p_per => '1 day'");
  b.exec("INSERT INTO rowcrew.limit_start SELECT 'day', now() - interval '2 days', 1 FROM generate_series(1, 10500) i");
  b.exec("INSERT INTO rowcrew.limit_start SELECT 'gone:a', now() - interval '2 days', -1");
  const Rows first = b.run(sql::node_forget_keys, Params{}.add(std::nullopt));
  CHECK(b.count("rowcrew.limit_start") == 501);
  CHECK_FALSE(first.is_null(0, 1));  // the same keys again
  b.forget_keys();
  CHECK(b.count("rowcrew.limit_start") == 0);
}

TEST_CASE("limits: a pause that is over costs nothing, and is forgotten a day later") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  const NodeIdentity node = b.node();
  b.insert(2);
  const Took first = b.take(node, 5);
  b.exec("SELECT rowcrew.pause('key', 'other', NULL, interval '1 s'), rowcrew.pause('tenant', 'other', NULL, interval '1 s')");
  b.exec("UPDATE rowcrew.pause SET since = now() - interval '2 hours', until = now() - interval '1 hour'");
  CHECK(b.take(node, 1, first.jobs, false).jobs.size() == 1);  // the end hands its permits over
  b.forget_keys();
  CHECK(b.count("rowcrew.pause") == 2);
  b.exec("UPDATE rowcrew.pause SET since = now() - interval '26 hours', until = now() - interval '25 hours'");
  b.forget_keys();
  CHECK(b.count("rowcrew.pause") == 0);
}

TEST_CASE("limits: a walk that finds no room in as many groups as it looks at says that there are more, and the next ones go on") {
  for (const bool shared : {false, true}) {
    CAPTURE(shared);
    LimitsBench b;
    if (shared) b.set("all", "p_queue => 'q', p_running => 0");
    b.set("per-tenant", std::string("p_queue => 'q', p_by => 'tenant', p_running => ") + (shared ? "1" : "0"));
    b.exec("INSERT INTO {t} ({type}, queue, tenant) SELECT 't', 'q', 't' || i FROM generate_series(100, 399) i");
    const NodeIdentity node = b.node();
    const Took first = b.take(node, 200);
    CHECK(first.jobs.empty());
    CHECK(first.answer.more);
    CHECK(first.answer.look == 200ms);
    CHECK(first.answer.cursor == (shared ? "{all,per-tenant:t227}" : "{per-tenant:t227}"));
    const Took second = b.take(node, 200, {}, true, first.answer.cursor);
    CHECK(second.answer.more);
    if (shared) {
      b.set("all", "p_queue => 'q', p_running => 150");
    } else {
      b.set("per-tenant", "p_queue => 'q', p_by => 'tenant', p_running => 1");
    }
    const Took third = b.take(node, 200, {}, true, second.answer.cursor);
    CHECK(third.jobs.size() == 128);
    CHECK_FALSE(third.answer.more);
    CHECK(third.answer.look == 0ms);
  }
}

TEST_CASE("limits: permits of claims that were removed past their trigger are found") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  b.insert(2);
  const NodeIdentity node = b.node();
  b.take(node, 1);
  b.ddl("ALTER TABLE rowcrew.job_queue_claim DISABLE TRIGGER rowcrew_free; DELETE FROM rowcrew.job_queue_claim");
  CHECK(b.out("one") == 1);
  CHECK(b.forget_keys() == 1);
  CHECK(b.out("one") == 0);
  CHECK(b.take(node, 1).jobs.size() == 1);
}
