#include "pg_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <future>
#include <set>

#include "pg/statement_template.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("pool: values and NULLs come back to the event thread") {
  PoolFixture f;
  const Rows rows = f.query(
      "SELECT n, CASE WHEN n = 2 THEN NULL ELSE 'é' || n END, n = 1 "
      "FROM generate_series(1, $1::int) n ORDER BY n",
      Params{}.add(2));
  REQUIRE(rows.size() == 2);
  CHECK(rows.integer(0, 0) == 1);
  CHECK(rows.text(0, 1) == "é1");
  CHECK(rows.boolean(0, 2));
  CHECK(rows.is_null(1, 1));
  CHECK_FALSE(rows.boolean(1, 2));
  CHECK(rows.affected() == 2);
  CHECK(f.pool.reachable());

  std::thread::id worked_on;
  auto work = [&](Tx&) { worked_on = std::this_thread::get_id(); };
  f.run(TxMode::transaction, work);
  CHECK(worked_on != std::this_thread::get_id());
}

TEST_CASE("pool: a closure's own exception rolls back and arrives as it was thrown") {
  PoolFixture f;
  f.query("CREATE TABLE public.rolled (x int)");
  auto work = [](Tx& tx) -> int {
    tx.exec(sql("INSERT INTO public.rolled VALUES (1)"));
    throw PermanentError("enough", "closure: had enough");
  };
  CHECK(code_of([&] { f.run(TxMode::transaction, work); }) == "enough");
  CHECK(f.value("SELECT count(*) FROM public.rolled") == "0");

  auto fine = [](Tx& tx) {
    return tx.exec(sql("INSERT INTO public.rolled VALUES (1), (2)")).affected();
  };
  CHECK(f.run(TxMode::transaction, fine) == 2);
  CHECK(f.value("SELECT count(*) FROM public.rolled") == "2");
}

TEST_CASE("pool: every connection runs with the settings that our statements rely on") {
  scratch().exec("ALTER DATABASE " + quote_identifier(scratch().name()) +
                 " SET DateStyle = 'German'");
  for (const char* hostile : {"enable_nestloop = off", "enable_indexscan = off", "array_nulls = off",
                              "quote_all_identifiers = on", "idle_session_timeout = '5min'"}) {
    scratch().exec("ALTER DATABASE " + quote_identifier(scratch().name()) + " SET " + hostile);
  }
  PoolFixture f;
  auto work = [](Tx& tx) {
    return tx.exec(
        sql("SELECT current_setting(name) FROM unnest($1::text[]) WITH ORDINALITY u(name, n) ORDER "
            "BY n"),
        Params{}.add_array(std::vector<std::string>{
            "transaction_isolation", "row_security", "search_path", "TimeZone", "lock_timeout",
            "statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan",
            "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit", "plan_cache_mode",
            "DateStyle", "application_name", "client_encoding", "enable_nestloop",
            "enable_indexscan", "array_nulls", "quote_all_identifiers", "idle_session_timeout"}));
  };
  for (const TxMode mode : {TxMode::autocommit, TxMode::transaction}) {
    const Rows rows = f.run(mode, work);
    std::string all;
    for (std::size_t row = 0; row < rows.size(); ++row) all += std::string(rows.text(row, 0)) + "|";
    CHECK(all ==
          "read committed|off|\"\"|UTC|400ms|30s|1min|off|off|off|off|off|force_generic_plan|"
          "ISO, YMD|rowcrew-test|UTF8|on|on|on|off|0|");
  }
}

TEST_CASE("pool: a transaction_timeout of the database does not end connections of ours") {
  if (std::stoi(scratch().value("SELECT current_setting('server_version_num')")) < 170'000) {
    MESSAGE("skipped: PostgreSQL 17 is the first with a transaction_timeout");
    return;
  }
  const std::string setting = "ALTER DATABASE " + quote_identifier(scratch().name());
  scratch().exec(setting + " SET transaction_timeout = '50ms'");
  PoolFixture f;
  auto work = [](Tx& tx) { return tx.exec(sql("SELECT current_setting('transaction_timeout'), pg_sleep(0.1)")); };
  for (const TxMode mode : {TxMode::autocommit, TxMode::transaction}) {
    CHECK(f.run(mode, work).text(0, 0) == "0");
  }
  scratch().exec(setting + " RESET transaction_timeout");
}

TEST_CASE("pool: autocommit takes exactly one statement, a transaction must be left open") {
  PoolFixture f;
  auto two = [](Tx& tx) {
    tx.exec(sql("SELECT 1"));
    tx.exec(sql("SELECT 1"));
  };
  CHECK(code_of([&] { f.run(TxMode::autocommit, two); }) == "tx_autocommit");
  auto own_end = [](Tx& tx) { tx.exec(sql("COMMIT")); };
  CHECK(code_of([&] { f.run(TxMode::transaction, own_end); }) == "tx_ended");
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("pool: two texts under one name are a bug") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  auto first = [](Tx& tx) { tx.exec(Statement{"twice", "SELECT 1"}, Params{}); };
  auto second = [](Tx& tx) { tx.exec(Statement{"twice", "SELECT 2"}, Params{}); };
  f.run(TxMode::autocommit, first);
  CHECK(code_of([&] { f.run(TxMode::autocommit, second); }) == "db_statement");
  f.run(TxMode::autocommit, first);
}

TEST_CASE("pool: names of statements may hold anything and may be long") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  const std::string stem = "node/claim:\"Odd Table\"" + std::string(60, 'x');
  for (int round = 0; round < 2; ++round) {
    for (const char* text : {"SELECT 'one'", "SELECT 'two'"}) {
      const std::string name = stem + text;
      auto work = [&](Tx& tx) { return tx.exec(Statement{name, text}, Params{}); };
      CHECK("SELECT '" + std::string(f.run(TxMode::autocommit, work).text(0, 0)) + "'" == text);
    }
  }
}

TEST_CASE("pool: a plan that a migration made stale costs one closure, not the session's life") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  f.query("CREATE TABLE public.widened (x int)");
  f.query("INSERT INTO public.widened VALUES (7)");
  CHECK(f.query("SELECT * FROM public.widened").columns() == 1);
  scratch().exec("ALTER TABLE public.widened ADD y int");
  CHECK(db_error_of([&] { f.query("SELECT * FROM public.widened"); }).sqlstate() == "0A000");
  CHECK(f.query("SELECT * FROM public.widened").columns() == 2);
}

TEST_CASE("pool: scripts hold several statements, in autocommit all or none of them") {
  PoolFixture f;
  auto work = [](Tx& tx) {
    exec_script(tx, "CREATE TABLE scripted (x int); INSERT INTO scripted VALUES (1)");
  };
  PoolOptions options = sessions();
  CHECK(code_of([&] { f.run(TxMode::autocommit, work); }) == "db_3F000");  // no search_path
  auto half = [](Tx& tx) { exec_script(tx, "CREATE TABLE public.half (x int); SELECT 1/0"); };
  CHECK(code_of([&] { f.run(TxMode::autocommit, half); }) == "db_22012");
  CHECK(f.query("SELECT to_regclass('public.half')").is_null(0, 0));
}

TEST_CASE("pool: closures that come one after the other use one connection, whatever the number of threads") {
  PoolOptions options = sessions();
  options.threads = 16;
  PoolFixture f(options);
  std::set<std::string> used;
  for (int i = 0; i < 40; ++i) used.insert(f.value("SELECT pg_backend_pid()"));
  CHECK(used.size() == 1);
}

TEST_CASE("pool: a statement that is new to its connection takes one round trip, with the BEGIN before it") {
  PgProxy proxy(scratch().url());
  PoolOptions options = sessions();
  options.url = proxy.url();
  PoolFixture f(options);
  f.query("CREATE SEQUENCE public.asked");
  const auto ask = [](Tx& tx) { tx.exec(sql("SELECT nextval('public.asked')")); };
  proxy.cut_at_answer();  // by then it has happened
  CHECK(db_error_of([&] { f.run(TxMode::transaction, ask); }).connection_lost());
  CHECK(f.value("SELECT is_called FROM public.asked") == "t");
}

TEST_CASE("pool: a cancelled caller resumes when its closure has ended") {
  PoolFixture f;
  std::promise<void> started, go_on;
  std::atomic<bool> ended{false};
  auto work = [&](Tx&) {
    started.set_value();
    go_on.get_future().wait();
    ended = true;
  };
  boost::asio::cancellation_signal cancel;
  bool resumed = false;
  auto caller = [&]() -> boost::asio::awaitable<void> {
    co_await f.pool.run(TxMode::transaction, work);
    resumed = true;
    CHECK(ended);
  };
  boost::asio::co_spawn(
      f.io, caller, boost::asio::bind_cancellation_slot(cancel.slot(), [](std::exception_ptr) {}));
  f.poll();
  started.get_future().wait();
  cancel.emit(boost::asio::cancellation_type::terminal);
  f.poll();
  CHECK_FALSE(resumed);
  go_on.set_value();
  f.drain();
  CHECK(resumed);
}
