// What becomes of rules that are written, changed and removed, and of the jobs that wait by them.
#include "held_transaction.hpp"
#include "limits_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("limits: a new rule moves what waits, a removed one frees it") {
  LimitsBench b;
  const NodeIdentity node = b.node();
  b.insert(4);
  CHECK(b.set("one", "p_queue => 'q', p_running => 1") == 4);
  CHECK(b.count("{ready}") == 0);
  CHECK(b.count("{limited}") == 4);
  b.take(node, 1);
  CHECK(b.value("SELECT rowcrew.limit_remove('one')") == "t");
  CHECK(b.count("{limited}") == 0);
  CHECK(b.count("{ready}") == 3);
}

TEST_CASE("limits: rules change one after the other, so that none moves jobs by what another is about to change") {
  LimitsBench b;
  HeldTransaction change(b.db, "SELECT rowcrew.limit_set('one', p_queue => 'q', p_running => 1)");
  CHECK_THROWS_AS(b.set("two", "p_queue => 'q', p_running => 1"), DbError);
  change.commit();
  CHECK(b.set("two", "p_queue => 'q', p_running => 1") == 0);
}

TEST_CASE("limits: what makes no sense is refused with the name of the field") {
  LimitsBench b;
  b.insert_one("payload", R"('{"account": "x"}')");
  const std::pair<const char*, const char*> refused[] = {
      {"p_running => -1", "running: '-1', expected 0 to 1000000"},
      {"p_units => 0, p_per => '1 s'", "units: '0', expected 1 to 1000000000"},
      {"p_units => 5, p_per => '0 s'", "per: '00:00:00', expected 10 ms to 366 days"},
      {"p_units => 5", "per: missing, expected a span of time"},
      {"p_per => '1 s'", "units: missing"},
      {"p_running => 1, p_units => 5, p_per => '1 s'", "running: '1', expected no units beside it"},
      {"p_burst => -3, p_units => 5, p_per => '1 s'", "burst: '-3'"},
      {"p_by => 'colour', p_running => 1", "by: 'colour', expected tenant, provider or payload.<field>"},
      {"p_queue => 'q', p_by => 'payload.acount', p_running => 1", "by: 'payload.acount', expected a value that one of the last 1000 such jobs has"},
      {"p_queue => '', p_running => 1", "queue: ''"},
  };
  for (const auto& [arguments, message] : refused) {
    CAPTURE(arguments);
    CHECK_THROWS_WITH_AS(b.set("bad", arguments), doctest::Contains(message), DbError);
  }
  CHECK_THROWS_WITH_AS(b.set("Bad name", "p_running => 1"), doctest::Contains("name: 'Bad name'"), DbError);
  CHECK(b.set("good", "p_queue => 'q', p_by => 'payload.account', p_running => 1") == 1);
}

TEST_CASE("limits: each act is one row of the audit log, with before and after") {
  LimitsBench b;
  b.set("one", "p_queue => 'q', p_running => 1");
  b.set("one", "p_queue => 'q', p_running => 2");
  b.exec("SELECT rowcrew.limit_remove('one')");
  CHECK(b.value("SELECT string_agg(action || ' ' || coalesce(metadata #>> '{before,max_running}', '-') || ' ' || coalesce(metadata #>> '{after,max_running}', '-'),"
                " ', ' ORDER BY id) FROM rowcrew.audit_logs WHERE target = 'limit one'") == "limit.set - 1, limit.set 1 2, limit.remove 2 -");
}

TEST_CASE("limits: permits that came back while the rule was a rate are not lost when it is a limit again") {
  LimitsBench b;
  const NodeIdentity node = b.node();
  const std::string rate = "p_queue => 'q', p_units => 20, p_per => '1 s'";
  for (const char* other : {"", ", p_burst => 20"}) {
    CAPTURE(other);
    b.set("rule", "p_queue => 'q', p_running => 2");
    b.insert(2);
    const Took two = b.take(node, 5);
    REQUIRE(two.jobs.size() == 2);
    b.set("rule", rate + other);
    b.end_alone(two.jobs, Completed());
    b.insert(1);
    const Took third = b.take(node, 5);  // folds what came back
    REQUIRE(third.jobs.size() == 1);
    b.end_alone(third.jobs, Completed());
    b.set("rule", "p_queue => 'q', p_running => 2");
    CHECK(b.out("rule") == 0);
  }
}
