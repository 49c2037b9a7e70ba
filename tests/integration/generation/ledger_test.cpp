// The ledger of calls of model providers, on a database.
#include <doctest/doctest.h>

#include <rowcrew/provider_call.hpp>

#include "pg/pool.hpp"
#include "support/db/login_role.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// Books one call for each execution.
class Caller final : public Handler {
 public:
  explicit Caller(Db& db) : db_(db) {}
  boost::asio::awaitable<Outcome> run(JobContext& context) override {
    ProviderCall copy = call;
    co_await book(db_, context, std::move(copy));
    co_return Outcome(Completed());
  }
  ProviderCall call;

 private:
  Db& db_;
};

struct Scene {
  Scene() : bench("kinds: {}"), pool(db.options(), bench.log), caller(pool) {
    caller.call.provider = "openai";
    caller.call.model = "gpt-image-2";
    caller.call.external_id = "req_1";
    caller.call.units = R"({"output_tokens": 4160})";
    caller.call.cost_micros = 125050;
    bench.job.table = "processing_jobs";
    bench.job.job_type = "generation";
    bench.job.claim_token = 77;
    bench.job.id = db.value(
        "INSERT INTO rowcrew.processing_jobs (type, provider, status, claim_token, attempts) "
        "VALUES ('generation', 'openai', 'processing', 77, 0) RETURNING id");
  }
  void call() { bench.run(caller, "{}"); }
  std::string job() { return db.value("SELECT cost_micros || ' ' || coalesce(external_id, '-') FROM rowcrew.processing_jobs"); }

  TempDatabase db;
  KindBench bench;
  Pool pool;
  Caller caller;
};

}  // namespace

TEST_CASE("provider calls: each is a row, and the job carries their sum and the last one's name") {
  Scene scene;
  scene.call();
  scene.caller.call.external_id = "req_2";
  scene.caller.call.outcome = ProviderCall::Outcome::blocked;
  scene.caller.call.cost_micros = 50;
  scene.call();
  CHECK(scene.job() == "125100 req_2");
  CHECK(scene.db.value("SELECT string_agg(concat_ws(' ', job_table, job_type, attempt, provider, model, external_id, outcome, units, "
                       "cost_micros, estimated), '; ' ORDER BY at) FROM rowcrew.provider_call WHERE job_id = '" + scene.bench.job.id + "'") ==
        "processing_jobs generation 1 openai gpt-image-2 req_1 done {\"output_tokens\": 4160} 125050 f; "
        "processing_jobs generation 1 openai gpt-image-2 req_2 blocked {\"output_tokens\": 4160} 50 f");
  CHECK(scene.db.value("SELECT concat_ws(' ', provider, model, job_type, calls, in_vain, cost_micros, estimated) FROM rowcrew.spend") ==
        "openai gpt-image-2 generation 2 1 125100 f");
}

TEST_CASE("provider calls: what is booked again after a crash is one row, and costs once") {
  Scene scene;
  scene.call();
  scene.call();
  CHECK(scene.job() == "125050 req_1");
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.provider_call") == "1");
  scene.caller.call.external_id.clear();  // without a name nobody can tell
  scene.call();
  scene.call();
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.provider_call") == "3");
}

TEST_CASE("provider calls: one of a late worker is kept, and leaves the job alone") {
  Scene scene;
  scene.db.exec("UPDATE rowcrew.processing_jobs SET claim_token = 78");
  scene.call();
  CHECK(scene.job() == "0 -");
  CHECK(scene.db.value("SELECT sum(cost_micros) FROM rowcrew.provider_call") == "125050");
}

TEST_CASE("provider calls: a job of another table has rows, too, and its id is what it is there") {
  Scene scene;
  scene.bench.job.table = "shop_orders";
  scene.bench.job.id = "42";
  scene.caller.call.external_id.clear();
  scene.call();
  CHECK(scene.db.value("SELECT job_table || job_id || coalesce(external_id, '-') FROM rowcrew.provider_call") == "shop_orders42-");
}

TEST_CASE("provider calls: an answer that cannot be booked is told with all figures, and is no failure") {
  Scene scene;
  scene.caller.call.cost_micros = -1;
  scene.call();
  const auto told = scene.bench.log.lines("provider.not_booked");
  REQUIRE(told.size() == 1);
  CHECK(told[0].level == LogLevel::error);
  CHECK(told[0].field("external_id") == "req_1");
  CHECK(told[0].field("cost_micros") == "-1");
  CHECK(told[0].field("units") == scene.caller.call.units);
  CHECK(told[0].message.find("provider_call_cost_micros_check") != std::string::npos);
}

TEST_CASE("provider calls: a node's role books, and cannot rewrite what is booked" * with_roles()) {
  Scene scene;
  const LoginRole node(scene.db, "rowcrew_worker");
  CHECK(node.failure("SELECT rowcrew.book_call('job_queue', 'a', 1, 't', 1::smallint, 'openai', 'm', NULL, 'done', '{}', 5, true)") == "");
  for (const char* sql : {"DELETE FROM rowcrew.provider_call", "UPDATE rowcrew.provider_call SET cost_micros = 0",
                          "INSERT INTO rowcrew.provider_call (job_table, job_id, job_type, attempt, provider, outcome) "
                          "VALUES ('job_queue', 'a', 't', 1, 'openai', 'done')"}) {
    CHECK(node.failure(sql) == "42501");
  }
  const LoginRole viewer(scene.db, "rowcrew_viewer");
  CHECK(viewer.failure("SELECT * FROM rowcrew.spend") == "");
}
