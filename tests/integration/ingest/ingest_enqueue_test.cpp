// The handler on a real pool, logged in as a role that has nothing but rowcrew_ingest.
#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/cipher.hpp"
#include "base/system_clock.hpp"
#include "ingest/ingest_handler.hpp"
#include "support/db/login_role.hpp"
#include "support/db/pg_proxy.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

ServerRequest post(std::string body, std::string once = {}) {
  ServerRequest request;
  request.method = "POST";
  request.path = "/v1/jobs";
  request.headers = {{"Authorization", "Bearer rc_test"}, {"Content-Type", "application/json"}};
  if (!once.empty()) request.headers.emplace_back("Idempotency-Key", once);
  request.body = std::move(body);
  return request;
}

ServerRequest mail(std::string once = {}) {
  return post(R"({"job_type":"mail","payload":{}})", std::move(once));
}

/// A database with one key, for "mail" and everything that does not reach into the machine.
struct Scene {
  Scene() {
    db.query(
        "INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ('shop', $1, '{mail,*}')",
        Params{}.add(sha256_hex("rc_test")));
  }
  TempDatabase db;
  LoginRole role{db, "rowcrew_ingest"};
};

/// Calls `before` with the number of each statement, counted from 1.
class WatchedDb final : public Db {
 public:
  WatchedDb(Pool& pool, std::function<void(int)> before)
      : pool_(pool), before_(std::move(before)) {}

 protected:
  boost::asio::awaitable<void> submit(TxMode mode, std::function<void(Tx&)> work) override {
    before_(++statements_);
    co_await pool_.run(mode, std::move(work));
  }

 private:
  Pool& pool_;
  std::function<void(int)> before_;
  int statements_ = 0;
};

struct Bench {
  explicit Bench(PoolOptions options) : pool(std::move(options), log) {}

  ServerResponse answer(ServerRequest request) {
    return run(io, handler.answer(std::move(request)));
  }
  json body(ServerRequest request) { return json::parse(answer(std::move(request)).body); }

  boost::asio::io_context io{1};
  SystemClock clock;
  LogCapture log;
  Pool pool;
  DatabaseProbe probe{pool, [this] { return pool.reachable(); }, clock, log};
  IngestHandler handler{pool, probe, log};
};

PoolOptions four_threads(PoolOptions options) {
  options.threads = 4;
  options.wait = 2s;
  return options;
}

PoolOptions through(const PgProxy& proxy, const LoginRole& role) {
  PoolOptions options = *direct_options(role.options());  // what is cut is one answer, and a pooler has BEGIN answered first
  options.url = proxy.url();
  auto params = connect_params(options);
  params["user"] = role.name();
  params["password"] = role.name();
  options.url = test_url(params);
  options.threads = 1;
  options.wait = 500ms;
  return options;
}

}  // namespace

TEST_CASE("the longest unique key and tenant of a request are taken, whatever the API key is called" * with_roles()) {
  Scene scene;
  scene.db.exec("UPDATE rowcrew.api_key SET name = repeat('n', 100)");
  Bench bench(scene.role.options());
  const std::string key(199, 'k');
  const std::string tenant(100, 't');
  const auto response = bench.answer(post(R"({"job_type":"report","payload":{},"unique_key":")" + key + R"(","tenant":")" + tenant + "\"}"));
  REQUIRE(response.status == 202);
  CHECK(scene.db.value("SELECT tenant FROM rowcrew.job_queue WHERE unique_key = repeat('n', 100) || ':' || repeat('k', 199)") == tenant);
}

TEST_CASE("an accepted job stands in the table as it was sent" * with_roles()) {
  Scene scene;
  Bench bench(scene.role.options());
  const auto response = bench.answer(post(
      R"({"job_type":"report","payload":{"big":18446744073709551616,"far":1e400,"exact":1.10},)"
      R"("queue":"slow","priority":2,"delay":"10m","unique_key":"u1"})"));
  REQUIRE(response.status == 202);
  const json body = json::parse(response.body);
  CHECK(body["created"] == true);
  const Rows rows = scene.db.query(
      "SELECT job_type, queue, priority, unique_key, status, payload->>'big', "
      "length(payload->>'far'),"
      " payload->>'exact', scheduled_at BETWEEN now() + '9 min' AND now() + '11 min', enqueued_by"
      " FROM rowcrew.job_queue WHERE id = $1::uuid",
      Params{}.add(body["id"].get<std::string>()));
  REQUIRE(rows.size() == 1);
  CHECK(rows.text(0, 0) == "report");
  CHECK(rows.text(0, 1) == "slow");
  CHECK(rows.text(0, 2) == "2");
  CHECK(rows.text(0, 3) == "shop:u1");
  CHECK(rows.text(0, 4) == "pending");
  CHECK(rows.text(0, 5) == "18446744073709551616");
  CHECK(rows.text(0, 6) == "401");
  CHECK(rows.text(0, 7) == "1.10");
  CHECK(rows.boolean(0, 8));
  CHECK(rows.text(0, 9) == scene.role.name());
}

TEST_CASE(
    "unknown keys are 401, revoked ones too, types out of scope 403, impossible numbers 400" * with_roles()) {
  Scene scene;
  Bench bench(scene.role.options());
  ServerRequest stranger = mail();
  stranger.headers[0].second = "Bearer rc_other";
  CHECK(bench.answer(std::move(stranger)).status == 401);
  CHECK(bench.answer(post(R"({"job_type":"command","payload":{"entry":"x"}})")).status == 403);
  const std::string digits(140'000, '9');
  CHECK(bench.answer(post(R"({"job_type":"mail","payload":{"n":)" + digits + "}}")).status == 400);
  CHECK(bench.answer(mail()).status == 202);
  scene.db.exec("UPDATE rowcrew.api_key SET revoked_at = now()");
  CHECK(bench.answer(mail()).status == 401);
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.job_queue") == "1");
}

TEST_CASE("a job that the operator's trigger refuses is 400, and only the log tells why" * with_roles()) {
  Scene scene;
  scene.db.exec(
      "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " RAISE EXCEPTION 'no mail on sundays' USING DETAIL = NEW.payload::text; END $$");
  scene.db.exec("CREATE TRIGGER refuse BEFORE INSERT ON rowcrew.job_queue FOR EACH ROW EXECUTE FUNCTION public.refuse()");
  Bench bench(scene.role.options());
  const auto response = bench.answer(post(R"({"job_type":"mail","payload":{"to":"x@example.com"}})"));
  CHECK(response.status == 400);
  CHECK(response.body.find("sundays") == std::string::npos);
  const auto line = bench.log.lines("ingest.refused").at(0);
  CHECK(line.field("code") == "db_P0001");
  CHECK(line.field("database").find("no mail on sundays") != std::string::npos);
  CHECK(line.field("database").find("example.com") == std::string::npos);
}

TEST_CASE("one idempotency key makes one job, also under twenty posts at once" * with_roles()) {
  Scene scene;
  Bench bench(four_threads(scene.role.options()));
  std::vector<ServerResponse> responses;
  for (int i = 0; i < 20; ++i) {
    boost::asio::co_spawn(bench.io, bench.handler.answer(mail("order 17")),
                          [&](std::exception_ptr error, ServerResponse response) {
                            CHECK_FALSE(error);
                            responses.push_back(std::move(response));
                          });
  }
  bench.io.run();
  REQUIRE(responses.size() == 20);
  std::set<std::string> ids;
  int created = 0;
  for (const auto& response : responses) {
    CHECK(response.status == 202);
    const json body = json::parse(response.body);
    ids.insert(body["id"].get<std::string>());
    created += body["created"].get<bool>() ? 1 : 0;
  }
  CHECK(ids.size() == 1);
  CHECK(created == 1);
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.job_queue") == "1");
}

TEST_CASE("the same idempotency key of another API key is another job" * with_roles()) {
  Scene scene;
  scene.db.query(
      "INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ('blog', $1, '{mail}')",
      Params{}.add(sha256_hex("rc_blog")));
  Bench bench(scene.role.options());
  const json first = bench.body(mail("a"));
  ServerRequest other = mail("a");
  other.headers[0].second = "Bearer rc_blog";
  CHECK(bench.body(std::move(other))["id"] != first["id"]);
}

TEST_CASE("a lost answer is told as unknown, and repeating with the key finds the one job" * with_roles()) {
  Scene scene;
  PgProxy proxy(scene.db.url());
  Bench bench(through(proxy, scene.role));
  CHECK(bench.answer(mail("first")).status == 202);  // both statements are prepared now
  WatchedDb watched(bench.pool, [&](int statement) {
    if (statement == 2) proxy.cut_at_answer();
  });
  IngestHandler handler(watched, bench.probe, bench.log);
  const auto lost = run(bench.io, handler.answer(mail("second")));
  CHECK(lost.status == 503);
  CHECK(json::parse(lost.body)["error"] == "outcome_unknown");
  const json again = bench.body(mail("second"));
  CHECK(again["created"] == false);
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.job_queue") == "2");
}

TEST_CASE("a request that never reached the database may be repeated, with or without a key" * with_roles()) {
  Scene scene;
  PgProxy proxy(scene.db.url());
  Bench bench(through(proxy, scene.role));
  CHECK(bench.answer(mail()).status == 202);
  WatchedDb watched(bench.pool, [&](int statement) {
    if (statement == 1) proxy.cut_at_request();
  });
  IngestHandler handler(watched, bench.probe, bench.log);
  const auto lost = run(bench.io, handler.answer(mail()));
  CHECK(lost.status == 503);
  CHECK(json::parse(lost.body)["error"] == "unavailable");  // only the look-up of the key was sent
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.job_queue") == "1");
}

TEST_CASE("a database that is away is 503, and the next request after its return is 202" * with_roles()) {
  Scene scene;
  PgProxy proxy(scene.db.url());
  Bench bench(through(proxy, scene.role));
  CHECK(bench.answer(mail()).status == 202);
  proxy.refuse();
  CHECK(bench.answer(mail()).status == 503);
  CHECK_FALSE(bench.probe.ready());
  proxy.admit();
  int tries = 0;
  while (bench.answer(mail("late")).status != 202)
    REQUIRE(++tries < 40);  // each waits for the pool
  CHECK(bench.probe.ready());
  CHECK(scene.db.value("SELECT count(*) FROM rowcrew.job_queue") == "2");
}

TEST_CASE("without a schema requests get 503 and the log says what to run") {
  const TempDatabase db(TempDatabase::Content::empty);
  Bench bench(db.options());
  CHECK(bench.answer(mail()).status == 503);
  REQUIRE(bench.log.lines("ingest.not_set_up").size() == 1);
  CHECK(bench.log.lines("ingest.not_set_up")[0].message.find("rowcrew migrate") !=
        std::string::npos);
  CHECK_FALSE(bench.probe.ready());
}

TEST_CASE("a login without the group's rights gets 503 and the log names the group" * with_roles()) {
  Scene scene;
  const LoginRole nobody(scene.db, "");
  Bench bench(nobody.options());
  CHECK(bench.answer(mail()).status == 503);
  REQUIRE(bench.log.lines("ingest.not_set_up").size() == 1);
  CHECK(bench.log.lines("ingest.not_set_up")[0].message.find("rowcrew_ingest") !=
        std::string::npos);
}

}  // namespace rowcrew::testing
