#include "pg_fixture.hpp"

#include "base/event.hpp"
#include "pg/statement_template.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// A database that admits so many connections, as a limit of the role or of the server would.
class Crowded {
 public:
  explicit Crowded(int connections) { admit(connections); }
  void admit(int connections) {
    scratch().exec("ALTER DATABASE " + quote_identifier(database_.name()) + " CONNECTION LIMIT " + std::to_string(connections));
  }
  PoolOptions options(unsigned threads) const {
    PoolOptions options = *direct_options(database_.options());
    options.threads = threads;
    options.wait = 10s;
    return options;
  }
  /// `count` connections to it, busy or not.
  std::string holds(int count) const {
    return "(SELECT count(*) FROM pg_stat_activity WHERE datname = '" + database_.name() + "') = " + std::to_string(count);
  }

 private:
  TempDatabase database_{TempDatabase::Content::empty};
};

constexpr Statement kNap{"nap", "SELECT pg_sleep(0.03)"};

/// All at once; how many of them were answered.
int answered(PoolFixture& f, int closures) {
  int count = 0;
  for (int i = 0; i < closures; ++i) {
    boost::asio::co_spawn(f.io, f.pool.query(kNap, {}), [&count](std::exception_ptr error, const Rows&) { count += error ? 0 : 1; });
  }
  f.drain();
  return count;
}

}  // namespace

TEST_CASE("pool crowded: where the server has no more connections, work waits for the one that there is") {
  const Crowded database(1);
  PoolFixture f(database.options(4));
  CHECK(f.value("SELECT 1") == "1");
  CHECK(answered(f, 12) == 12);
  CHECK(f.pool.reachable());
  const auto lines = f.log.lines(event::kDbCrowded);
  REQUIRE(lines.size() == 1);  // once a minute
  CHECK(lines[0].message.find("too many connections") != std::string::npos);
  CHECK(lines[0].message.find("53300") == std::string::npos);
  CHECK(lines[0].message.find("LOCATION") == std::string::npos);
  CHECK(f.log.lines(event::kDbUnreachable).empty());
}

TEST_CASE("pool crowded: whoever refuses more connections, in whatever words, work waits for the one that there is") {
  PgProxy full(scratch().url());  // as a pooler is at its max_client_conn
  PoolOptions options = sessions();
  options.url = full.url();
  options.threads = 4;
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  full.refuse_login();
  CHECK(answered(f, 12) == 12);
  CHECK(f.pool.reachable());
  CHECK(f.log.lines(event::kDbCrowded).size() == 1);
  CHECK(f.log.lines(event::kDbUnreachable).empty());
}

TEST_CASE("pool crowded: once the connections that there were are gone, a refusal is an outage") {
  PgProxy full(scratch().url());
  PoolOptions options = sessions();
  options.url = full.url();
  options.threads = 2;
  options.wait = 300ms;
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  full.refuse_login();
  full.cut_at_request();
  CHECK(db_error_of([&] { f.value("SELECT 1"); }).connection_lost());
  CHECK(db_error_of([&] { f.value("SELECT 1"); }).sqlstate() == "08001");
  CHECK_FALSE(f.pool.reachable());
  CHECK(f.log.lines(event::kDbUnreachable).size() == 1);
}

TEST_CASE("pool crowded: without any connection it is an outage like others, and ends with it") {
  Crowded database(0);
  PoolOptions options = database.options(2);
  options.wait = 50ms;
  PoolFixture f(options);
  const DbError error = db_error_of([&] { f.value("SELECT 1"); });
  CHECK(error.connection_lost());
  CHECK(f.log.lines(event::kDbUnreachable).size() == 1);
  database.admit(1);
  while (code_of([&] { f.value("SELECT 1"); }) != "nothing thrown") REQUIRE(f.log.lines(event::kDbUnreachable).size() == 1);
  CHECK(f.log.lines(event::kDbReconnected).size() == 1);
}

TEST_CASE("pool crowded: asked to give way, it keeps one of the connections that rest") {
  const Crowded database(8);
  PoolFixture f(database.options(4));
  CHECK(answered(f, 12) == 12);
  await_true(database.holds(4));
  f.pool.give_way();
  await_true(database.holds(1));
  CHECK(answered(f, 12) == 12);
}
