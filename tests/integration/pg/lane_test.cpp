// The connection of the event thread: what travels together happens together or not at all.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/system/system_error.hpp>
#include <algorithm>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>

#include "base/system_clock.hpp"
#include "pg/lane.hpp"
#include "pg/same_database.hpp"
#include "pg_fixture.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;

namespace {

using Calls = std::vector<Call>;

struct LaneFixture {
  explicit LaneFixture(PoolOptions options = sessions()) : lane(std::move(options), io.get_executor(), clock) {
    scratch().exec("CREATE TABLE IF NOT EXISTS public.told (x int PRIMARY KEY); TRUNCATE public.told");
  }

  std::vector<Rows> exec(Calls calls) { return testing::run(io, lane.exec(std::move(calls))); }
  std::string value(std::string_view text, Params params = {}) {
    return std::string(exec({Call(sql(text), std::move(params))}).at(0).text(0, 0));
  }
  static Call tell(int x) { return {sql("INSERT INTO public.told VALUES ($1::int)"), Params{}.add(x)}; }
  static std::string told() { return scratch().value("SELECT coalesce(string_agg(x::text, ' ' ORDER BY x), '') FROM public.told"); }

  asio::io_context io{1};
  SystemClock clock;
  Lane lane;
};

PoolOptions through(const PgProxy& proxy) {
  PoolOptions options = sessions();
  options.url = proxy.url();
  return options;
}

}  // namespace

TEST_CASE("lane: calls of one round trip commit together, each with an answer in its place") {
  LaneFixture f;
  const Call who(sql("SELECT txid_current()::text, (SELECT count(*) FROM public.told)"), {});
  const auto rows = f.exec({who, LaneFixture::tell(1), who, LaneFixture::tell(2), who});
  REQUIRE(rows.size() == 5);
  CHECK(rows[1].affected() == 1);
  CHECK(rows[0].text(0, 0) == rows[4].text(0, 0));
  // Each sees what those before it did.
  CHECK(rows[0].integer(0, 1) == 0);
  CHECK(rows[2].integer(0, 1) == 1);
  CHECK(rows[4].integer(0, 1) == 2);
  CHECK(LaneFixture::told() == "1 2");
  CHECK(f.value("SELECT txid_current()::text") != rows[0].text(0, 0));
}

TEST_CASE("lane: values pass through unchanged, null and empty ones told apart") {
  LaneFixture f;
  const auto rows = f.exec({Call(sql("SELECT $1::text, $2::text, $3::text, NULL::int"),
                                 Params{}.add(std::nullopt).add("").add("a\"'\\\n€"))});
  REQUIRE(rows.at(0).size() == 1);
  CHECK(rows[0].is_null(0, 0));
  CHECK_FALSE(rows[0].is_null(0, 1));
  CHECK(rows[0].text(0, 1) == "");
  CHECK(rows[0].text(0, 2) == "a\"'\\\n€");
  CHECK(rows[0].is_null(0, 3));
}

TEST_CASE("lane: the first call that fails is named and undoes all, and the connection goes on") {
  LaneFixture f;
  const std::string pid = f.value("SELECT pg_backend_pid()");
  f.exec({LaneFixture::tell(1)});
  const Call never(sql("SELECT 'never reached' FROM nowhere"), {});
  const DbError error = db_error_of([&] { f.exec({LaneFixture::tell(2), LaneFixture::tell(1), never}); });
  CHECK(error.sqlstate() == "23505");
  CHECK(std::string(error.what()).starts_with("INSERT INTO public.told"));
  CHECK_FALSE(error.connection_lost());
  CHECK_FALSE(error.outcome_unknown());
  CHECK(LaneFixture::told() == "1");
  f.exec({LaneFixture::tell(2)});
  CHECK(LaneFixture::told() == "1 2");
  CHECK(f.value("SELECT pg_backend_pid()") == pid);
}

TEST_CASE("lane: a statement that was prepared in a round trip that failed need not be prepared again") {
  LaneFixture f;
  const Call fresh(sql("SELECT 'prepared beside a failure'"), {});
  const Call broken(sql("SELECT * FROM nowhere"), {});
  for (int i = 0; i < 2; ++i) {
    CHECK(db_error_of([&] { f.exec({fresh, broken}); }).sqlstate() == "42P01");
    CHECK(f.exec({fresh}).at(0).text(0, 0) == "prepared beside a failure");
  }
  // What stands behind a failure was not prepared, and is later.
  const Call behind(sql("SELECT 'prepared behind a failure'"), {});
  CHECK(db_error_of([&] { f.exec({broken, behind}); }).sqlstate() == "42P01");
  CHECK(f.exec({behind}).at(0).text(0, 0) == "prepared behind a failure");
}

TEST_CASE("lane: what only the commit refuses is an error too, and has not happened") {
  LaneFixture f;
  scratch().exec("CREATE TABLE IF NOT EXISTS public.deferred (x int UNIQUE DEFERRABLE INITIALLY DEFERRED); TRUNCATE public.deferred");
  const Call insert(sql("INSERT INTO public.deferred VALUES (1)"), {});
  const DbError error = db_error_of([&] { f.exec({insert, LaneFixture::tell(7), insert}); });
  CHECK(error.sqlstate() == "23505");
  CHECK_FALSE(error.outcome_unknown());
  CHECK(LaneFixture::told() == "");
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("lane: a parameter with a NUL byte is refused before anything is sent") {
  LaneFixture f;
  const std::string pid = f.value("SELECT pg_backend_pid()");
  const std::string before = scratch().value("SELECT query_start::text FROM pg_stat_activity WHERE pid = $1::int", Params{}.add(pid));
  Call text(sql("SELECT $1::text, $2::text"), Params{}.add("fine").add(std::string("a\0b", 3)));
  const DbError error = db_error_of([&] { f.exec({LaneFixture::tell(1), text}); });
  CHECK(error.sqlstate() == "22021");
  CHECK(std::string(error.what()).find("$2") != std::string::npos);
  CHECK(LaneFixture::told() == "");
  CHECK(scratch().value("SELECT query_start::text FROM pg_stat_activity WHERE pid = $1::int", Params{}.add(pid)) == before);
  CHECK(f.value("SELECT pg_backend_pid()") == pid);
}

TEST_CASE("lane: a connection that is lost without an answer leaves the outcome unknown; the next round trip connects again") {
  PgProxy proxy(scratch().url());
  LaneFixture f(through(proxy));
  f.exec({LaneFixture::tell(1)});
  CHECK(f.lane.connected());
  bool happened = false;
  SUBCASE("it never reached the server") { proxy.cut_at_request(); }
  SUBCASE("it happened, and the answer was lost") {
    proxy.cut_at_answer();
    happened = true;
  }
  const DbError error = db_error_of([&] { f.exec({LaneFixture::tell(2), LaneFixture::tell(3)}); });
  CHECK(error.connection_lost());
  CHECK(error.outcome_unknown());
  CHECK(error.error_class() == ErrorClass::transient);
  CHECK_FALSE(f.lane.connected());
  CHECK(LaneFixture::told() == (happened ? "1 2 3" : "1"));
  f.exec({LaneFixture::tell(4)});
  CHECK(f.lane.connected());
  CHECK(proxy.accepted() == 2);
}

TEST_CASE("lane: a backend that is ended while it works tells why") {
  LaneFixture f;
  const DbError error = db_error_of([&] { f.exec({LaneFixture::tell(1), Call(sql("SELECT pg_terminate_backend(pg_backend_pid())"), {})}); });
  CHECK(error.error_class() == ErrorClass::transient);
  CHECK(LaneFixture::told() == "");
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("lane: a session that has lost its prepared statements is replaced") {
  LaneFixture f;
  const std::string pid = f.value("SELECT pg_backend_pid()");
  f.exec({Call(sql("DEALLOCATE ALL"), {})});
  CHECK(db_error_of([&] { f.value("SELECT pg_backend_pid()"); }).sqlstate() == "26000");
  CHECK(f.value("SELECT pg_backend_pid()") != pid);
}

TEST_CASE("lane: more than a socket takes at once goes through in both directions together") {
  LaneFixture f;
  const std::string much(6'000'000, 'x');
  Calls calls;
  for (int i = 0; i < 8; ++i) {
    calls.emplace_back(sql("SELECT $1::text || $2::text"), Params{}.add(much).add(i));
  }
  const auto rows = f.exec(std::move(calls));
  REQUIRE(rows.size() == 8);
  for (int i = 0; i < 8; ++i) {
    const auto text = rows[static_cast<std::size_t>(i)].text(0, 0);
    CHECK(text.size() == much.size() + 1);
    CHECK(text.back() == static_cast<char>('0' + i));
  }
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("lane: being cancelled closes the connection, and the next round trip opens another") {
  LaneFixture f;
  const std::string pid = f.value("SELECT pg_backend_pid()");
  asio::cancellation_signal cancel;
  std::exception_ptr thrown;
  bool ended = false;
  asio::co_spawn(f.io, f.lane.exec({LaneFixture::tell(1), Call(sql("SELECT pg_sleep(60)"), {})}),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr e, const std::vector<Rows>&) {
                   thrown = e;
                   ended = true;
                 }));
  f.io.restart();
  f.io.poll();
  await_true("EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND pid = " + pid + ")");
  cancel.emit(asio::cancellation_type::terminal);
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (!ended && std::chrono::steady_clock::now() < deadline) f.io.run_one_for(20ms);
  REQUIRE(ended);
  CHECK_THROWS_AS(std::rethrow_exception(thrown), boost::system::system_error);
  CHECK_FALSE(f.lane.connected());
  scratch().query("SELECT pg_terminate_backend($1::int, 5000)", Params{}.add(pid));
  CHECK(LaneFixture::told() == "");
  CHECK(f.value("SELECT pg_backend_pid()") != pid);
}

namespace {

/// Several exec() of one lane at once; what each has come to, in the order in which they ended.
struct Crowd {
  explicit Crowd(LaneFixture& fixture) : f(fixture) {}

  void exec(const std::string& name, const std::string& text) {
    Calls calls;
    calls.emplace_back(sql(texts.emplace_back(text)), Params{});
    auto done = [this, name](std::exception_ptr error, const std::vector<Rows>& rows) {
      ended += name + ":" + word(error, rows) + " ";
      if (const auto next = then.find(name); next != then.end()) next->second();
    };
    asio::co_spawn(f.io, f.lane.exec(std::move(calls)), asio::bind_cancellation_slot(signals[name].slot(), std::move(done)));
    ++waiting;
  }
  void poll() {
    f.io.restart();
    f.io.poll();
  }
  std::string wait() {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    f.io.restart();
    while (std::count(ended.begin(), ended.end(), ' ') < waiting && std::chrono::steady_clock::now() < deadline) f.io.run_one_for(20ms);
    return ended;
  }
  static std::string word(std::exception_ptr error, const std::vector<Rows>& rows) {
    if (!error) return std::string(rows.at(0).text(0, 0));
    try {
      std::rethrow_exception(error);
    } catch (const DbError& e) {
      return e.outcome_unknown() ? "unknown" : e.connection_lost() ? "lost" : e.sqlstate();
    } catch (const boost::system::system_error&) {
      return "cancelled";
    }
  }

  LaneFixture& f;
  std::deque<std::string> texts;
  std::map<std::string, asio::cancellation_signal> signals;
  std::map<std::string, std::function<void()>> then;  ///< with the end of each
  std::string ended;
  int waiting = 0;
};

}  // namespace

TEST_CASE("lane: round trips that begin while one is under way end in their order, whatever becomes of the others") {
  LaneFixture f;
  f.value("SELECT 'b'");
  Crowd crowd(f);
  crowd.exec("first", "SELECT 1 / count(*) FROM (SELECT pg_sleep(0.05)) x WHERE false");
  crowd.exec("second", "SELECT 'b'");
  crowd.exec("third", "SELECT 'unseen'");
  crowd.exec("fourth", "SELECT 'b'");
  CHECK(crowd.wait() == "first:22012 second:b third:unseen fourth:b ");
}

TEST_CASE("lane: one that is cancelled as its turn comes leaves its answer to nobody") {
  LaneFixture f;
  for (const std::string known : {"SELECT 'a'", "SELECT 'b'", "SELECT 'c'"}) f.value(known);
  Crowd crowd(f);
  crowd.exec("first", "SELECT 'a'");
  crowd.exec("second", "SELECT 'b'");
  std::string after;
  SUBCASE("one behind it was sent") {
    crowd.exec("third", "SELECT 'c'");
    after = "third:unknown ";
  }
  SUBCASE("one behind it waits to be sent") {
    crowd.exec("third", "SELECT 'unseen'");
    after = "third:unseen ";
  }
  SUBCASE("nobody is behind it") {}
  crowd.then["first"] = [&] { crowd.signals["second"].emit(asio::cancellation_type::terminal); };
  CHECK(crowd.wait() == "first:a second:cancelled " + after);
  CHECK(f.value("SELECT 'd'") == "d");
}

TEST_CASE("lane: what is no answer to a statement is a bug, and what follows meets a fresh connection") {
  LaneFixture f;
  scratch().exec("CREATE TABLE IF NOT EXISTS public.copied (x int)");
  for (const char* text : {"COPY (SELECT 1) TO STDOUT", "COPY public.copied FROM STDIN"}) {
    CAPTURE(std::string(text));
    CHECK(code_of([&] { f.exec({Call(sql("SELECT 1"), {}), Call(sql(text), {}), Call(sql("SELECT 2"), {})}); }) == "db_statement");
    CHECK_FALSE(f.lane.connected());
    CHECK(f.value("SELECT 'd'") == "d");
  }
  CHECK(f.exec({Call(sql(""), {})}).at(0).empty());
  Params many;
  for (int i = 0; i < 65536; ++i) many.add(i);
  CHECK(code_of([&] { f.value("SELECT $65536::text", many); }) == "db_statement");
  CHECK(f.lane.connected());
}

TEST_CASE("lane: with the connection those that were sent are in doubt, those that waited go over the next") {
  LaneFixture f;
  const std::string sleep = "SELECT coalesce(pg_sleep(sum(x))::text, '') FROM public.told";
  const std::string pid = f.value("SELECT pg_backend_pid()");
  for (const std::string& known : {sleep, std::string("SELECT 'b'"), std::string("SELECT 'c'")}) f.value(known);
  f.exec({LaneFixture::tell(60)});
  Crowd crowd(f);
  crowd.exec("first", sleep);
  SUBCASE("its backend was ended") {
    crowd.exec("second", "SELECT 'b'");
    crowd.exec("third", "SELECT 'unprepared'");
    crowd.poll();
    await_true("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = " + pid + ")");
    scratch().query("SELECT pg_terminate_backend($1::int)", Params{}.add(pid));
    CHECK(crowd.wait() == "first:unknown second:unknown third:unprepared ");
  }
  SUBCASE("one of those behind was cancelled") {
    crowd.exec("second", "SELECT 'b'");
    crowd.exec("third", "SELECT 'c'");
    crowd.exec("fourth", "SELECT 'unprepared'");
    crowd.poll();
    crowd.signals["second"].emit(asio::cancellation_type::terminal);
    CHECK(crowd.wait() == "second:cancelled first:unknown third:unknown fourth:unprepared ");
    scratch().query("SELECT pg_terminate_backend($1::int, 5000)", Params{}.add(pid));  // it sleeps on without us
  }
  SUBCASE("one that was not sent is cancelled, and nobody minds") {
    crowd.exec("second", "SELECT 'unprepared'");
    crowd.exec("third", "SELECT 'b'");
    crowd.poll();
    crowd.signals["second"].emit(asio::cancellation_type::terminal);
    crowd.poll();
    scratch().query("SELECT pg_cancel_backend($1::int)", Params{}.add(pid));
    CHECK(crowd.wait() == "second:cancelled first:57014 third:b ");
  }
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("lane: without a server nothing was sent, and nothing is in doubt") {
  PoolOptions options = sessions();
  const auto nowhere = std::filesystem::temp_directory_path() / "rowcrew-no-such-socket";
  options.url = "host=" + nowhere.string() + " password=s3cret";
  LaneFixture f(options);
  const DbError error = db_error_of([&] { f.exec({LaneFixture::tell(1)}); });
  CHECK(error.connection_lost());
  CHECK_FALSE(error.outcome_unknown());
  CHECK(std::string(error.what()).find("s3cret") == std::string::npos);
  CHECK_FALSE(f.lane.connected());
}

TEST_CASE("lane: a server that hangs is given up on after statement_timeout") {
  PgProxy proxy(scratch().url());
  PoolOptions options = through(proxy);
  options.statement_timeout = 100ms;
  LaneFixture f(options);
  CHECK(f.value("SELECT 1") == "1");
  proxy.freeze();
  const DbError error = db_error_of([&] { f.value("SELECT 1"); });
  CHECK(error.outcome_unknown());
  CHECK(std::string(error.what()).find("no answer in time") != std::string::npos);
  CHECK_FALSE(f.lane.connected());
}

TEST_CASE("lane: a server that is slow with every statement is not given up on while each stays within its time") {
  PoolOptions options = sessions();
  options.statement_timeout = 300ms;
  LaneFixture f(options);
  const Call nap(sql("SELECT pg_sleep(0.12)"), {});
  CHECK(f.exec(Calls(20, nap)).size() == 20);  // longer than statement_timeout and the two seconds behind it
  CHECK(f.lane.connected());
}

TEST_CASE("lane: a connection to another database than the first of its process is none") {
  Home home(1);
  PoolOptions options = sessions();
  options.same_database = std::make_shared<SameDatabase>();
  LaneFixture(options).exec({LaneFixture::tell(1)});
  home.move(2);
  LaneFixture f(options);
  CHECK(db_error_of([&] { f.exec({LaneFixture::tell(2)}); }).sqlstate() == "08001");
  CHECK(LaneFixture::told().empty());
  home.move(1);
  f.exec({LaneFixture::tell(3)});
  CHECK(LaneFixture::told() == "3");
}

TEST_CASE("lane: the settings of a session are those of the pool") {
  LaneFixture f;
  CHECK(f.value("SHOW lock_timeout") == "400ms");
  CHECK(f.value("SHOW search_path") == "\"\"");
  PoolOptions options = sessions();
  options.statement_timeout = 50ms;
  LaneFixture hasty(options);
  const DbError error = db_error_of([&] { hasty.value("SELECT pg_sleep(60)"); });
  CHECK(error.sqlstate() == "57014");
  CHECK_FALSE(error.outcome_unknown());
  CHECK(hasty.lane.connected());
}
