// Ports "<job type>_ended": called in the transaction that ends an execution, and only then.
#include <string>

#include "queue/ended_report.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// A table of an app's own, written by its port for job type "t".
struct PortBench : QueueBench {
  explicit PortBench(const std::string& of) : QueueBench(of, 2, Database::fresh) {
    ddl("CREATE SCHEMA shop; CREATE TABLE shop.told (id uuid, report jsonb CHECK (report ->> 'error_code' IS DISTINCT FROM 'refuse'));"
        "CREATE FUNCTION shop.t_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql AS"
        " 'INSERT INTO shop.told VALUES (job_id, ended)';"
        "INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
    reload();
  }
  std::vector<std::string> reload() { return catalog.load(run(sql::node_ports)); }
  Ids end_with_port(const ClaimedJob& job, const Outcome& outcome) {
    EndedJob one = ended({job}, outcome).front();
    const auto port = catalog.ended()->find("t", job.job.app);
    REQUIRE(port);
    return await(jobs.finish_reported(EndedJobs({&one}), *port, 1, {job.job.claim_token}));
  }
  std::string told(const std::string& id) {
    return value("SELECT coalesce(string_agg(report ->> 'status', ',' ORDER BY report ->> 'attempt'), '') FROM shop.told WHERE id = $1::uuid",
                 Params{}.add(id));
  }
  PortCatalog catalog;
};

}  // namespace

TEST_CASE("ports: an end and what its port writes are one transaction") {
  for (const char* table : kJobTables) {
    PortBench b(table);
    const std::string id = b.insert_one();
    const auto jobs = b.claim(b.node());
    REQUIRE(jobs.size() == 1);
    CHECK(b.end_with_port(jobs[0], Completed(R"({"n":1})")) == Ids{id});
    CHECK(b.status(id) == "completed");
    CHECK(b.told(id) == "completed");
    CHECK(b.value("SELECT report -> 'result' ->> 'n' FROM shop.told") == "1");
    CHECK(b.count("{claim}") == 0);
  }
}

TEST_CASE("ports: a port is planned as in any session, and what follows it by index again") {
  PortBench b("job_queue");
  b.ddl("CREATE OR REPLACE FUNCTION shop.t_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO shop.told VALUES (job_id, jsonb_build_object('join', current_setting('enable_hashjoin'), 'plans', current_setting('plan_cache_mode'))); END $$");
  b.insert_one();
  b.end_with_port(b.claim(b.node()).at(0), Completed());
  CHECK(b.value("SELECT concat_ws(',', report ->> 'join', report ->> 'plans') FROM shop.told") == "on,auto");
  CHECK(b.value("SELECT concat_ws(',', current_setting('enable_hashjoin'), current_setting('plan_cache_mode'))") == "off,force_generic_plan");
}

TEST_CASE("ports: every execution that the handler ended is told, the retries too") {
  PortBench b("job_queue");
  const std::string id = b.insert_one("max_attempts", "2");
  b.end_with_port(b.claim(b.node()).at(0), Retry("http_503", "busy", std::chrono::milliseconds(0)));
  b.end_with_port(b.claim(b.node()).at(0), Retry("http_503", "busy"));
  CHECK(b.status(id) == "failed");
  CHECK(b.told(id) == "retrying,failed");
}

TEST_CASE("ports: a late worker's end is refused and its port not called") {
  PortBench b("job_queue");
  const std::string id = b.insert_one();
  auto late = b.claim(b.node()).at(0);
  late.job.claim_token = 77;
  CHECK(b.end_with_port(late, Completed()).empty());
  CHECK(b.status(id) == "processing");
  CHECK(b.told(id) == "");
}

TEST_CASE("ports: what a port refuses has not ended") {
  PortBench b("job_queue");
  const std::string id = b.insert_one();
  const auto job = b.claim(b.node()).at(0);
  CHECK_THROWS_AS(b.end_with_port(job, Failed("refuse", "")), PortError);
  CHECK(b.status(id) == "processing");
  CHECK(b.told(id) == "");
}

TEST_CASE("ports: several ends are one transaction, of which a lost claim is no part and which one refusal undoes") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    PortBench b(table);
    b.insert(3);
    auto jobs = b.claim(b.node());
    REQUIRE(jobs.size() == 3);
    jobs[2].job.claim_token = 77;
    std::vector<EndedJob> all = ended(jobs, Failed("broken", ""));
    const auto port = b.catalog.ended()->find("t", jobs[0].job.app);
    all[1].ending.code = "refuse";
    CHECK_THROWS_AS(b.await(b.jobs.finish_reported(all, *port, 1, {})), PortError);
    CHECK(b.status(jobs[0].job.id) == "processing");
    CHECK(b.count("shop.told") == 0);
    all[1].ending.code = "broken";
    CHECK(b.await(b.jobs.finish_reported(all, *port, 1, {})).size() == 2);
    CHECK(b.told(jobs[0].job.id) == "failed");
    CHECK(b.told(jobs[1].job.id) == "failed");
    CHECK(b.told(jobs[2].job.id) == "");
    CHECK(b.status(jobs[2].job.id) == "processing");
  }
}

TEST_CASE("ports: poison is told when a rescuer finds it") {
  PortBench b("job_queue");
  const std::string id = b.insert_one();
  const auto die = [&](const std::vector<ClaimedJob>& with, NodeIdentity node) {
    REQUIRE(with.size() == 1);
    b.kill(node);
    b.await(b.jobs.reap(1, 0, b.catalog.ended()));
  };
  NodeIdentity node = b.node();
  die(b.claim(node), node);
  node = b.node();
  die(b.await(b.jobs.claim_rescued({b.new_token()}, node, {QueueBench::want("q", 1)})), node);
  CHECK(b.told(id) == "");
  node = b.node();
  die(b.claim_suspect(node), node);
  CHECK(b.status(id) == "failed");
  CHECK(b.told(id) == "failed");
  CHECK(b.value("SELECT report ->> 'error_code' FROM shop.told") == "poison");
}

TEST_CASE("ports: a function with a wrong signature is named with what was expected") {
  PortBench b("job_queue");
  CHECK(b.reload().empty());
  b.ddl("CREATE FUNCTION shop.email_allowed(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'");
  const auto faults = b.reload();
  REQUIRE(faults.size() == 1);
  CHECK(faults[0] == "port shop.email_allowed(text) returns boolean, expected (text, text) returns boolean");
}

TEST_CASE("ports: a near miss of an ended port is named, what only sounds like one is let alone") {
  PortBench b("job_queue");
  b.ddl("CREATE FUNCTION shop.season_ended() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE FUNCTION shop.auction_ended(bigint, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'");
  CHECK(b.reload().empty());
  b.ddl("CREATE FUNCTION shop.sale_ended(uuid, json) RETURNS void LANGUAGE sql AS ''");
  const auto faults = b.reload();
  REQUIRE(faults.size() == 1);
  CHECK(faults[0] == "port shop.sale_ended(uuid, json) returns void, expected (uuid, jsonb) returns void");
}

TEST_CASE("ports: a job knows whose it is") {
  PortBench b("job_queue");
  b.insert_one("app", "'shop'");
  CHECK(b.claim(b.node()).at(0).job.app == "shop");
}
