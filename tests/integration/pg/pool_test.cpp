#include "pg_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <future>

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
  PoolFixture f;
  auto work = [](Tx& tx) {
    return tx.exec(
        sql("SELECT current_setting(name) FROM unnest($1::text[]) WITH ORDINALITY u(name, n) ORDER "
            "BY n"),
        Params{}.add_array(std::vector<std::string>{
            "transaction_isolation", "row_security", "search_path", "TimeZone", "lock_timeout",
            "statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan",
            "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit", "plan_cache_mode",
            "DateStyle", "application_name", "client_encoding"}));
  };
  for (const TxMode mode : {TxMode::autocommit, TxMode::transaction}) {
    const Rows rows = f.run(mode, work);
    std::string all;
    for (std::size_t row = 0; row < rows.size(); ++row) all += std::string(rows.text(row, 0)) + "|";
    CHECK(all ==
          "read committed|off|\"\"|UTC|400ms|30s|1min|on|off|off|off|off|force_generic_plan|"
          "ISO, YMD|rowcrew-test|UTF8|");
  }
}

TEST_CASE("pool: errors of the server carry state, class and the statement's name") {
  PoolFixture f;
  f.query("CREATE TABLE public.unique_things (x int PRIMARY KEY, CHECK (x < 10))");
  f.query("INSERT INTO public.unique_things VALUES (1)");
  struct Row {
    const char* text;
    const char* state;
    ErrorClass expected;
  };
  const Row rows[] = {
      {"INSERT INTO public.unique_things VALUES (1)", "23505", ErrorClass::permanent},
      {"INSERT INTO public.unique_things VALUES (11)", "23514", ErrorClass::permanent},
      {"SELECT 'x'::int", "22P02", ErrorClass::permanent},
      {"SELECT no_such_column FROM public.unique_things", "42703", ErrorClass::bug},
      {"SELECT 1 FROM public.no_such_table", "42P01", ErrorClass::bug},
      {"SELEKT", "42601", ErrorClass::bug},
      {"CREATE ROLE nobody_new SUPERUSER", "42501", ErrorClass::bug},
      {"DO $$ BEGIN RAISE SQLSTATE '40001' USING MESSAGE = 'again'; END $$", "40001",
       ErrorClass::transient},
      {"DO $$ BEGIN RAISE SQLSTATE '08006' USING MESSAGE = 'remote'; END $$", "08000",
       ErrorClass::transient},
      {"DO $$ BEGIN RAISE SQLSTATE '53300' USING MESSAGE = 'remote'; END $$", "53300",
       ErrorClass::transient},
      {"DO $$ BEGIN RAISE 'told you'; END $$", "P0001", ErrorClass::bug},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    auto work = [&](Tx& tx) { tx.exec(Statement{"node/test", row.text}, Params{}); };
    auto fresh = scratch().options();
    const DbError error = db_error_of([&] { run_once(fresh, TxMode::autocommit, work); });
    CHECK(error.sqlstate() == row.state);
    CHECK(error.error_class() == row.expected);
    CHECK_FALSE(error.connection_lost());
    CHECK_FALSE(error.outcome_unknown());
    CHECK(std::string(error.what()).starts_with("node/test: "));
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
  }
}

TEST_CASE("pool: a message tells what was wrong, not which values were in the row") {
  PoolFixture f;
  f.query("CREATE TABLE public.mails (address text PRIMARY KEY)");
  f.query("INSERT INTO public.mails VALUES ('someone@example.org')");
  const DbError error = db_error_of([&] {
    f.query("INSERT INTO public.mails VALUES ($1)", Params{}.add("someone@example.org"));
  });
  CHECK(std::string(error.what()) ==
        "INSERT INTO public.mails VALUES ($1): duplicate key value violates unique constraint "
        "\"mails_pkey\" (23505)");
}

TEST_CASE("pool: a NUL byte in a parameter is refused instead of cut off") {
  PoolFixture f;
  const DbError error =
      db_error_of([&] { f.query("SELECT $1::text", Params{}.add(std::string_view("a\0b", 3))); });
  CHECK(error.sqlstate() == "22021");
  CHECK(error.error_class() == ErrorClass::permanent);
}

TEST_CASE("pool: waiting for a row's lock ends after lock_timeout") {
  PoolFixture f;
  f.query("CREATE TABLE public.locked (x int)");
  f.query("INSERT INTO public.locked VALUES (1)");
  std::promise<void> taken, tried;
  std::thread holder([&] {
    auto hold = [&](Tx& tx) {
      tx.exec(sql("UPDATE public.locked SET x = 2"));
      taken.set_value();
      tried.get_future().wait();
    };
    run_once(scratch().options(), TxMode::transaction, hold);
  });
  taken.get_future().wait();
  const DbError error = db_error_of([&] { f.query("UPDATE public.locked SET x = 3"); });
  tried.set_value();
  holder.join();
  CHECK(error.sqlstate() == "55P03");
  CHECK(error.error_class() == ErrorClass::transient);
}

TEST_CASE("pool: of two closures that lock each other out, one gets a transient 40P01") {
  PoolOptions options = scratch().options();
  options.lock_timeout = 0ms;  // or it would win over the deadlock detector
  PoolFixture f(options);
  f.query("CREATE TABLE public.crossed (x int PRIMARY KEY, y int)");
  f.query("INSERT INTO public.crossed VALUES (1, 0), (2, 0)");
  std::promise<void> first_ready, second_ready;
  auto update = [](Tx& tx, int x) {
    tx.exec(sql("UPDATE public.crossed SET y = y + 1 WHERE x = $1::int"), Params{}.add(x));
  };
  std::exception_ptr other;
  std::thread second([&] {
    auto work = [&](Tx& tx) {
      update(tx, 2);
      second_ready.set_value();
      first_ready.get_future().wait();
      update(tx, 1);
    };
    try {
      run_once(options, TxMode::transaction, work);
    } catch (...) {
      other = std::current_exception();
    }
  });
  auto work = [&](Tx& tx) {
    update(tx, 1);
    first_ready.set_value();
    second_ready.get_future().wait();
    update(tx, 2);
  };
  std::exception_ptr mine;
  try {
    f.run(TxMode::transaction, work);
  } catch (...) {
    mine = std::current_exception();
  }
  second.join();
  REQUIRE((mine == nullptr) != (other == nullptr));
  const DbError error = db_error_of([&] { std::rethrow_exception(mine ? mine : other); });
  CHECK(error.sqlstate() == "40P01");
  CHECK(error.error_class() == ErrorClass::transient);
  CHECK(f.value("SELECT string_agg(y::text, ',') FROM public.crossed") == "1,1");
}

TEST_CASE("pool: a statement's error that the closure swallowed is not committed over") {
  PoolFixture f;
  f.query("CREATE TABLE public.swallowed (x int)");
  auto work = [](Tx& tx) {
    tx.exec(sql("INSERT INTO public.swallowed VALUES (1)"));
    try {
      tx.exec(sql("SELECT 1/0"));
    } catch (const DbError&) {
    }
  };
  const DbError error = db_error_of([&] { f.run(TxMode::transaction, work); });
  CHECK(error.sqlstate() == "25P02");
  CHECK(error.error_class() == ErrorClass::bug);
  CHECK(f.value("SELECT count(*) FROM public.swallowed") == "0");
}

TEST_CASE("pool: a savepoint lets a transaction live on after an error") {
  PoolFixture f;
  f.query("CREATE TABLE public.saved (x int)");
  auto work = [](Tx& tx) {
    tx.exec(sql("INSERT INTO public.saved VALUES (1)"));
    tx.exec(sql("SAVEPOINT one"));
    try {
      tx.exec(sql("SELECT 1/0"));
    } catch (const DbError&) {
      tx.exec(sql("ROLLBACK TO SAVEPOINT one"));
    }
    tx.exec(sql("INSERT INTO public.saved VALUES (2)"));
  };
  f.run(TxMode::transaction, work);
  CHECK(f.value("SELECT sum(x) FROM public.saved") == "3");
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
  PoolOptions options = scratch().options();
  options.threads = 1;
  PoolFixture f(options);
  auto first = [](Tx& tx) { tx.exec(Statement{"twice", "SELECT 1"}, Params{}); };
  auto second = [](Tx& tx) { tx.exec(Statement{"twice", "SELECT 2"}, Params{}); };
  f.run(TxMode::autocommit, first);
  CHECK(code_of([&] { f.run(TxMode::autocommit, second); }) == "db_statement");
  f.run(TxMode::autocommit, first);
}

TEST_CASE("pool: names of statements may hold anything and may be long") {
  PoolOptions options = scratch().options();
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
  PoolOptions options = scratch().options();
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
  PoolOptions options = scratch().options();
  CHECK(code_of([&] { f.run(TxMode::autocommit, work); }) == "db_3F000");  // no search_path
  auto half = [](Tx& tx) { exec_script(tx, "CREATE TABLE public.half (x int); SELECT 1/0"); };
  CHECK(code_of([&] { f.run(TxMode::autocommit, half); }) == "db_22012");
  CHECK(f.query("SELECT to_regclass('public.half')").is_null(0, 0));
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
