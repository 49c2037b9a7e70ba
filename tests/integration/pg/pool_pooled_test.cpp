#include "pg/same_database.hpp"
#include "pg_fixture.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

PoolOptions pooled() {
  PoolOptions options = scratch().options();
  options.pooled = true;
  options.threads = 1;
  return options;
}

constexpr std::string_view kSettings =
    "SELECT concat_ws('|', current_setting('lock_timeout'), current_setting('search_path'), "
    "current_setting('enable_hashjoin'), current_setting('transaction_isolation'))";

}  // namespace

TEST_CASE("pooled: every transaction brings its settings and leaves none behind") {
  PoolFixture f(pooled());
  auto work = [](Tx& tx) { return std::string(tx.exec(sql(kSettings)).text(0, 0)); };
  CHECK(f.run(TxMode::transaction, work) == "400ms|\"\"|off|read committed");
  CHECK(f.run(TxMode::autocommit, work) == "400ms|\"\"|off|read committed");
  // Bare scripts get no transaction: they see what the session was left with.
  auto bare = [](Tx& tx) {
    exec_script(tx,
                "DO $$ BEGIN IF current_setting('lock_timeout') <> '0' THEN "
                "RAISE 'left behind'; END IF; END $$");
  };
  f.run(TxMode::autocommit, bare);
}

TEST_CASE("pooled: a pooler that leads to another database by now is found out") {
  Home home(1);
  PoolOptions options = pooled();
  options.wait = 50ms;
  options.same_database = std::make_shared<SameDatabase>();
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  home.move(2);
  std::string found;
  for (const auto until = std::chrono::steady_clock::now() + 10s; found.empty() && std::chrono::steady_clock::now() < until;) {
    try {
      f.query("SELECT 1");
    } catch (const DbError& error) {
      found = error.what();
    }
  }
  CHECK(found.find("another one than this program began with") != std::string::npos);
}

TEST_CASE("pooled: no statement stays prepared on the server") {
  PoolFixture f(pooled());
  f.query("SELECT $1::int", Params{}.add(1));
  CHECK(f.value("SELECT count(*) FROM pg_prepared_statements") == "0");
}

TEST_CASE("pooled: one statement commits by itself, an error leaves a usable session") {
  PoolFixture f(pooled());
  f.query("CREATE TABLE public.pooled_rows (x int PRIMARY KEY)");
  CHECK(f.query("INSERT INTO public.pooled_rows VALUES (1)").affected() == 1);
  const std::string pid = f.value("SELECT pg_backend_pid()");
  CHECK(db_error_of([&] { f.query("INSERT INTO public.pooled_rows VALUES (1)"); }).sqlstate() ==
        "23505");
  CHECK(f.value("SELECT count(*) FROM public.pooled_rows") == "1");
  CHECK(f.value("SELECT pg_backend_pid()") == pid);
}

TEST_CASE("pooled: a statement that refuses transaction blocks runs without one") {
  PoolFixture f(pooled());
  f.query("CREATE TABLE public.pooled_vacuum (x int)");
  f.query("VACUUM public.pooled_vacuum");
}

TEST_CASE("pooled: a COMMIT without an answer has an unknown outcome in autocommit, too") {
  PgProxy proxy(scratch().url());
  PoolOptions options = pooled();
  options.url = proxy.url();
  PoolFixture f(options);
  f.query("SELECT 1");
  proxy.cut_at_request();  // the BEGIN
  CHECK_FALSE(db_error_of([&] { f.query("SELECT 1"); }).outcome_unknown());
  auto work = [&](Tx& tx) {
    tx.exec(sql("SELECT 1"));
    proxy.cut_at_request();  // the COMMIT
  };
  CHECK(db_error_of([&] { f.run(TxMode::transaction, work); }).outcome_unknown());
}
