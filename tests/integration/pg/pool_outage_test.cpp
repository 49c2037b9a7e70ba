#include "pg_fixture.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/event.hpp"
#include "pg/connect_params.hpp"
#include "pg/connection.hpp"
#include "pg/same_database.hpp"
#include "pg/statement_template.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

PoolOptions through(const PgProxy& proxy, unsigned threads = 1) {
  PoolOptions options = sessions();
  options.url = proxy.url();
  options.threads = threads;
  return options;
}

std::string port(const PgProxy& proxy) {
  const auto at = proxy.url().find("port=") + 5;
  return proxy.url().substr(at, proxy.url().find('&', at) - at);
}

}  // namespace

TEST_CASE("pool outage: a killed backend costs the closure that met it, not the next one") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  const std::string before = f.value("SELECT pg_backend_pid()");
  const DbError error =
      db_error_of([&] { f.query("SELECT pg_terminate_backend(pg_backend_pid())"); });
  CHECK(error.connection_lost());
  CHECK(error.code() == "db_lost");
  CHECK(error.error_class() == ErrorClass::transient);
  CHECK(error.outcome_unknown());  // autocommit: the server did not say
  CHECK(std::string(error.what()).find("administrator command") != std::string::npos);
  CHECK_FALSE(f.pool.reachable());
  CHECK(f.value("SELECT pg_backend_pid()") != before);
  CHECK(f.pool.reachable());
  CHECK(f.value("SHOW lock_timeout") == "400ms");
}

TEST_CASE("pool outage: a transaction that lost its connection before COMMIT did not happen") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  f.query("CREATE TABLE public.half_done (x int)");
  auto work = [](Tx& tx) {
    tx.exec(sql("INSERT INTO public.half_done VALUES (1)"));
    try {
      tx.exec(sql("SELECT pg_terminate_backend(pg_backend_pid())"));
    } catch (const DbError&) {
    }
    tx.exec(sql("INSERT INTO public.half_done VALUES (2)"));
  };
  const DbError error = db_error_of([&] { f.run(TxMode::transaction, work); });
  CHECK(error.connection_lost());
  CHECK_FALSE(error.outcome_unknown());
  CHECK(f.value("SELECT count(*) FROM public.half_done") == "0");
}

TEST_CASE("pool outage: a session that died while idle is replaced before the next closure") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  const std::string pid = f.value("SELECT pg_backend_pid()");
  scratch().query("SELECT pg_terminate_backend($1::int, 5000)", Params{}.add(pid));
  CHECK(f.value("SELECT pg_backend_pid()") != pid);
}

TEST_CASE("pool outage: a COMMIT without an answer has an unknown outcome") {
  PgProxy proxy(scratch().url());
  PoolFixture f(through(proxy));
  scratch().exec(
      "CREATE TABLE IF NOT EXISTS public.doubtful (x int); "
      "TRUNCATE public.doubtful");
  bool happened = false;
  SUBCASE("it never reached the server") {
    auto work = [&](Tx& tx) {
      tx.exec(sql("INSERT INTO public.doubtful VALUES (1)"));
      proxy.cut_at_request();
    };
    const DbError error = db_error_of([&] { f.run(TxMode::transaction, work); });
    CHECK(error.connection_lost());
    CHECK(error.outcome_unknown());
  }
  SUBCASE("it happened, and the answer was lost") {
    auto work = [&](Tx& tx) {
      tx.exec(sql("INSERT INTO public.doubtful VALUES (1)"));
      proxy.cut_at_answer();
    };
    const DbError error = db_error_of([&] { f.run(TxMode::transaction, work); });
    CHECK(error.connection_lost());
    CHECK(error.outcome_unknown());
    happened = true;
  }
  CHECK(scratch().value("SELECT count(*) FROM public.doubtful") == (happened ? "1" : "0"));
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("pool outage: a server that never was there is reported, once") {
  PoolOptions options = sessions();
  const auto nowhere = std::filesystem::temp_directory_path() / "rowcrew-no-such-socket";
  options.url = "host=" + nowhere.string() + " password=s3cret";
  options.threads = 4;
  options.wait = 700ms;
  PoolFixture f(options);
  int lost = 0, late = 0;
  for (int i = 0; i < 8; ++i) {
    boost::asio::co_spawn(f.io, f.pool.query(kOne, {}), [&](std::exception_ptr e, const Rows&) {
      const std::string code = code_of([&] { std::rethrow_exception(e); });
      lost += code == "db_08001" ? 1 : 0;
      late += code == "db_timeout" ? 1 : 0;
    });
  }
  f.drain();
  CHECK(lost >= 4);  // one of each thread; those behind them had to wait for a thread
  CHECK(lost + late == 8);
  const DbError error = db_error_of([&] { f.query("SELECT 1"); });
  CHECK(error.connection_lost());
  CHECK_FALSE(error.outcome_unknown());
  CHECK(std::string(error.what()).find("s3cret") == std::string::npos);
  CHECK_FALSE(f.pool.reachable());
  REQUIRE(f.log.lines(event::kDbUnreachable).size() == 1);
  CHECK(f.log.lines(event::kDbUnreachable)[0].message.find("rowcrew-no-such-socket") !=
        std::string::npos);
}

TEST_CASE("pool outage: a closure waits for the server to come back") {
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy, 4);
  options.wait = 120s;
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  proxy.refuse();
  int answered = 0;
  for (int i = 0; i < 4; ++i) {
    boost::asio::co_spawn(f.io, f.pool.query(kOne, {}),
                          [&](std::exception_ptr e, const Rows&) { answered += e ? 0 : 1; });
  }
  f.poll();
  while (f.log.lines(event::kDbUnreachable).empty()) std::this_thread::yield();
  proxy.admit();
  const auto begin = std::chrono::steady_clock::now();
  f.drain();
  CHECK(answered == 4);
  // The first one to get through wakes the others.
  CHECK(std::chrono::steady_clock::now() - begin < 60s);
  CHECK(f.log.lines(event::kDbUnreachable).size() == 1);
  CHECK(f.log.lines(event::kDbReconnected).size() == 1);
}

TEST_CASE("pool outage: a silent host costs its connect timeout, then the next one is tried") {
  PgProxy silent(scratch().url());
  silent.freeze();
  PgProxy fine(scratch().url());
  PoolOptions options = through(fine);
  options.url = "host=127.0.0.1,127.0.0.1 port=" + port(silent) + "," + port(fine) +
                " dbname=" + scratch().name() + " user=rowcrew_admin sslmode=disable " +
                "gssencmode=disable target_session_attrs=read-write";
  options.connect_timeout = 200ms;
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("pool outage: a silent host that a service file names is left for the next one, too") {
  PgProxy silent(scratch().url());
  silent.freeze();
  PgProxy fine(scratch().url());
  const auto file = std::filesystem::temp_directory_path() / ("rowcrew-services-" + std::to_string(::getpid()));
  std::ofstream(file) << "[jobs]\nhost=127.0.0.1,127.0.0.1\nport=" << port(silent) << ',' << port(fine) << "\ndbname=" << scratch().name()
                      << "\nuser=rowcrew_admin\nsslmode=disable\ngssencmode=disable\n";
  ::setenv("PGSERVICEFILE", file.c_str(), 1);
  {
    PoolOptions options = through(fine);
    options.url = "service=jobs";
    options.connect_timeout = 200ms;
    PoolFixture f(options);
    CHECK(f.value("SELECT 1") == "1");
  }
  ::unsetenv("PGSERVICEFILE");
  std::filesystem::remove(file);
}

TEST_CASE("pool outage: a database that was restored from a copy under a program that runs is not worked on") {
  Home home(1);
  PoolOptions options = sessions();
  options.threads = 1;
  options.wait = 250ms;
  options.same_database = std::make_shared<SameDatabase>();
  PoolFixture f(options);
  const auto reconnect = [&] { db_error_of([&] { f.query("SELECT pg_terminate_backend(pg_backend_pid())"); }); };
  CHECK(f.value("SELECT 1") == "1");
  reconnect();
  CHECK(f.value("SELECT 1") == "1");
  home.move(2);
  reconnect();
  const DbError error = db_error_of([&] { f.query("SELECT 1"); });
  CHECK(error.sqlstate() == "08001");
  CHECK(std::string(error.what()).find("another one than this program began with") != std::string::npos);
  CHECK_FALSE(f.pool.reachable());
  scratch().exec("DROP FUNCTION rowcrew.here()");  // a restore that has only begun
  CHECK(db_error_of([&] { f.query("SELECT 1"); }).sqlstate() == "08001");
  home.move(1);
  options.wait = 10s;
  PoolFixture other(options);
  CHECK(other.value("SELECT 1") == "1");
}

TEST_CASE("pool outage: a server that hangs is given up on after statement_timeout") {
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy);
  options.statement_timeout = 100ms;
  PoolFixture f(options);
  f.query("SELECT 1");
  proxy.freeze();
  const DbError error = db_error_of([&] { f.query("SELECT 1"); });
  CHECK(error.connection_lost());
  CHECK(error.outcome_unknown());
  CHECK(std::string(error.what()) == "SELECT 1: no answer in time");
}

TEST_CASE("pool outage: a COMMIT that hangs is said to have got no answer, not to have been closed by the server") {
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy);
  options.statement_timeout = 100ms;
  PoolFixture f(options);
  auto work = [&](Tx& tx) {
    tx.exec(sql("SELECT 1"));
    proxy.freeze();
  };
  const DbError error = db_error_of([&] { f.run(TxMode::transaction, work); });
  CHECK(error.connection_lost());
  CHECK(error.outcome_unknown());
  CHECK(std::string(error.what()) == "commit: no answer in time");
}

TEST_CASE("pool outage: statement_timeout itself is an answer") {
  PoolOptions options = sessions();
  options.statement_timeout = 50ms;
  PoolFixture f(options);
  const DbError error = db_error_of([&] { f.query("SELECT pg_sleep(60)"); });
  CHECK(error.sqlstate() == "57014");
  CHECK_FALSE(error.connection_lost());
  CHECK_FALSE(error.outcome_unknown());
}

TEST_CASE("pool outage: after one lost connection the others are not trusted either") {
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy, 2);
  options.statement_timeout = 100ms;
  PoolFixture f(options);
  std::atomic<int> told{0};
  f.pool.on_loss([&told] { ++told; });
  // Two at once, so that each thread has a session.
  int answered = 0;
  constexpr Statement kNap{"nap", "SELECT pg_sleep(0.05)"};
  for (int i = 0; i < 2; ++i) {
    boost::asio::co_spawn(f.io, f.pool.query(kNap, {}),
                          [&](std::exception_ptr e, const Rows&) { answered += e ? 0 : 1; });
  }
  f.drain();
  REQUIRE(answered == 2);
  REQUIRE(proxy.accepted() == 2);
  proxy.forget();
  CHECK(db_error_of([&] { f.query("SELECT 1"); }).connection_lost());
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) CHECK(f.value("SELECT 1") == "1");
  CHECK(std::chrono::steady_clock::now() - begin < 2s);  // nobody waited for the other old one
  CHECK(told == 1);
}

TEST_CASE("pool outage: a server that has become read-only is left; a READ ONLY transaction is not") {
  const TempDatabase database(TempDatabase::Content::empty);
  database.exec("CREATE TABLE public.rows (x int)");
  PoolOptions options = *direct_options(database.options());
  options.threads = 1;
  options.wait = 300ms;
  PoolFixture f(options);
  constexpr std::string_view kInsert = "INSERT INTO public.rows VALUES (1)";
  auto own_doing = [&](Tx& tx) {
    tx.exec(sql("SET TRANSACTION READ ONLY"));
    tx.exec(sql(kInsert));
  };
  DbError error = db_error_of([&] { f.run(TxMode::transaction, own_doing); });
  CHECK(error.sqlstate() == "25006");
  CHECK_FALSE(error.connection_lost());

  CHECK(f.value("SELECT 1") == "1");  // in a new session: the old one was not worth a look at its state

  // In this session as a reload would do it, in new ones by the database.
  const std::string setting = "ALTER DATABASE " + quote_identifier(database.name());
  scratch().exec(setting + " SET default_transaction_read_only = on");
  f.query("SET SESSION default_transaction_read_only = on");
  error = db_error_of([&] { f.query(kInsert); });
  CHECK(error.sqlstate() == "25006");
  CHECK(error.connection_lost());
  CHECK_FALSE(f.pool.reachable());
  error = db_error_of([&] { f.query(kInsert); });  // no other server writes either
  CHECK(error.sqlstate() == "08001");
  CHECK(std::string(error.what()).find("read-only") != std::string::npos);
  scratch().exec(setting + " RESET default_transaction_read_only");
  // Each try waits for the pool, which backs off from what refused it.
  const auto begin = std::chrono::steady_clock::now();
  std::size_t written = 0;
  while (written == 0 && std::chrono::steady_clock::now() - begin < 10s) {
    try {
      written = f.query(kInsert).affected();
    } catch (const DbError& refused) {
      REQUIRE(refused.sqlstate() == "08001");
    }
  }
  CHECK(written == 1);
}

TEST_CASE("pool outage: a host that refuses the login is not asked first again") {
  PgProxy refusing(scratch().url()), fine(scratch().url());
  refusing.refuse_login();
  PoolOptions options = through(fine);
  options.url = "host=127.0.0.1,127.0.0.1 port=" + port(refusing) + "," + port(fine) + " dbname=" +
                scratch().name() + " user=rowcrew_admin sslmode=disable gssencmode=disable";
  PoolFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  CHECK(refusing.accepted() == 1);
}

TEST_CASE("pool outage: a host name whose first address is silent is connected to at the next, and first there from then on") {
  namespace asio = boost::asio;
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy);
  options.connect_timeout = 100ms;
  auto params = connect_params(options);
  params["host"] = "two.example";
  options.url = test_url(params);
  // Takes connections at the same port and never says a word.
  asio::io_context io;
  const auto port = static_cast<unsigned short>(std::stoi(params.at("port")));
  asio::ip::tcp::acceptor silent(io, {asio::ip::make_address("127.0.0.2"), port});
  silent.non_blocking(true);
  const auto asked = [&] {
    boost::system::error_code none;
    int count = 0;
    while (silent.accept(none), !none) ++count;
    return count;
  };
  std::vector<std::string> addresses{"127.0.0.2", "127.0.0.1"};
  Connector connector(options, [&](const std::string& host) {
    CHECK(host == "two.example");
    return HostAddresses{addresses, ""};
  });
  Connection connection = connector.connect(nullptr);
  CHECK(std::string(PQhost(connection.get())) == "two.example");
  CHECK(std::string(PQhostaddr(connection.get())) == "127.0.0.1");
  CHECK(asked() == 1);
  connection = connector.connect(nullptr);
  std::reverse(addresses.begin(), addresses.end());  // as resolvers do
  connection = connector.connect(nullptr);
  std::reverse(addresses.begin(), addresses.end());
  connection = connector.connect(nullptr);
  CHECK(asked() == 0);
}
