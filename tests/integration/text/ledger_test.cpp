// The handler with a real ledger, and with no more than the rights of a node.
#include <doctest/doctest.h>

#include <string>
#include <variant>

#include <rowcrew/deps.hpp>
#include "pg/pool.hpp"
#include "support/db/login_role.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"
#include "workers/text/text_handler.hpp"

namespace rowcrew::testing {
namespace {

std::string job(const TempDatabase& db) { return db.value("INSERT INTO rowcrew.job_queue (job_type) VALUES ('text') RETURNING id"); }

std::string events(const TempDatabase& db) { return db.value("SELECT string_agg(event, ' ' ORDER BY event_id) FROM rowcrew.job_event"); }

constexpr const char* kConfig = R"(
kinds:
  text:
    anthropic:
      api_key: sk-ant-1
      models: {haiku: {input: 1, output: 5}}
)";
constexpr const char* kPayload = R"({"provider":"anthropic","model":"haiku","prompt":"Hello","max_tokens":100})";
std::string answer(int number) {
  return R"({"id":"msg_)" + std::to_string(number) +
         R"(","model":"haiku","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":2}})";
}

}  // namespace

TEST_CASE("text: a node with no more than its rights books calls and deaths, and obeys the budget" * with_roles()) {
  const TempDatabase db;
  const LoginRole worker(db, "rowcrew_worker");
  KindBench bench(kConfig);
  Pool pool(options_for(worker.url()), bench.log);
  Deps deps{pool, bench.ports, bench.http, bench.mail, bench.children, bench.clock, bench.random, bench.log, bench.kinds};
  text::TextHandler handler(deps);
  bench.job.id = job(db);
  bench.job.job_type = "text";
  bench.job.crashes = 2;
  for (int i = 0; i < 2; ++i) {  // the second time the deaths are booked already
    bench.http.answer(200, {}, answer(i));
    CHECK(std::holds_alternative<Completed>(bench.run(handler, kPayload)));
  }
  CHECK(db.value("SELECT string_agg(concat_ws(' ', outcome, cost_micros, units ->> 'crash'), ', ' ORDER BY at) FROM rowcrew.provider_call") ==
        "lost 502 1, lost 502 2, done 20, done 20");
  db.exec("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('anthropic', 1000)");
  bench.clock.advance(std::chrono::seconds(1));
  CHECK(std::holds_alternative<Snooze>(bench.run(handler, kPayload)));
  CHECK(bench.http.requests.size() == 2);
  CHECK(events(db) == "budget.spent");
}

}  // namespace rowcrew::testing
