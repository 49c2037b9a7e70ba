#include "pg_fixture.hpp"

#include <future>

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

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
      {"DO $$ BEGIN RAISE SQLSTATE '08006' USING MESSAGE = 'remote'; END $$", "08006",
       ErrorClass::transient},
      {"DO $$ BEGIN RAISE SQLSTATE '53300' USING MESSAGE = 'remote'; END $$", "53300",
       ErrorClass::transient},
      {"DO $$ BEGIN RAISE 'told you'; END $$", "P0001", ErrorClass::bug},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    auto work = [&](Tx& tx) { tx.exec(Statement{"node/test", row.text}, Params{}); };
    auto fresh = sessions();
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

TEST_CASE("pool: a COPY to or from the client is a bug of who asks, and keeps no thread") {
  PoolFixture f;
  for (const char* text : {"COPY (SELECT 1) TO STDOUT", "COPY public.copied FROM STDIN"}) {
    CAPTURE(std::string(text));
    f.query("CREATE TABLE IF NOT EXISTS public.copied (x int)");
    CHECK(code_of([&] { f.query(text); }) == "db_statement");
    auto both = [text](Tx& tx) {
      tx.exec(sql("INSERT INTO public.copied VALUES (1)"));
      tx.exec(sql(text));
    };
    CHECK(code_of([&] { f.run(TxMode::transaction, both); }) == "db_statement");
    CHECK(f.value("SELECT count(*) FROM public.copied") == "0");
  }
}

TEST_CASE("pool: an empty statement has no rows") {
  PoolFixture f;
  CHECK(f.query("").empty());
  CHECK(f.query("/* nothing */").empty());
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("pool: more parameters than the protocol counts are a bug, and no lost connection") {
  PoolFixture f;
  const std::string pid = f.value("SELECT pg_backend_pid()");
  Params many;
  for (int i = 0; i < 65536; ++i) many.add(i);
  CHECK(code_of([&] { f.query("SELECT $65536::text", many); }) == "db_statement");
  CHECK(f.value("SELECT pg_backend_pid()") == pid);
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
    run_once(sessions(), TxMode::transaction, hold);
  });
  taken.get_future().wait();
  const DbError error = db_error_of([&] { f.query("UPDATE public.locked SET x = 3"); });
  tried.set_value();
  holder.join();
  CHECK(error.sqlstate() == "55P03");
  CHECK(error.error_class() == ErrorClass::transient);
}

TEST_CASE("pool: of two closures that lock each other out, one gets a transient 40P01") {
  PoolOptions options = sessions();
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
