#include "pg/listener.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/system/system_error.hpp>
#include <filesystem>

#include "base/event.hpp"
#include "base/system_clock.hpp"
#include "pg/connection.hpp"
#include "pg/statement_template.hpp"
#include "pg_fixture.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The system's, which the test puts forward.
class LeapingClock final : public Clock {
 public:
  Mono mono() const override { return system_.mono() + ahead; }
  std::chrono::system_clock::time_point wall() const override { return system_.wall(); }
  boost::asio::awaitable<void> sleep_until(Mono when) override { return system_.sleep_until(when - ahead); }
  MonoClock::duration ahead{};

 private:
  SystemClock system_;
};

/// A listener on an event thread that the test drives.
struct ListenerFixture {
  explicit ListenerFixture(ListenerOptions options)
      : listener(
            std::move(options),
            [this](std::string_view channel, std::string_view payload) {
              heard.push_back(std::string(channel) + ":" + std::string(payload));
            },
            [this] { ++ready; }, log, clock, random) {
    boost::asio::co_spawn(
        io, listener.run(),
        boost::asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e) {
          ended = true;
          end = e;
        }));
  }

  /// Runs the event thread until `condition`; fails after ten seconds.
  void until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    io.restart();
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      io.run_one_for(20ms);
    }
  }
  void stop() {
    cancel.emit(boost::asio::cancellation_type::terminal);
    until([this] { return ended; });
  }
  ~ListenerFixture() {
    if (!ended) stop();
  }

  boost::asio::io_context io{1};
  boost::asio::cancellation_signal cancel;
  LogCapture log;
  LeapingClock clock;
  SystemRandom random;
  int ready = 0;
  std::vector<std::string> heard;
  bool ended = false;
  std::exception_ptr end;
  Listener listener;
};

ListenerOptions on(std::vector<std::string> channels, const std::string& name) {
  ListenerOptions options;
  options.connection = *direct_options(scratch().options());
  options.connection.application_name = name;
  options.channels = std::move(channels);
  return options;
}

void notify(const std::string& channel, const std::string& payload) {
  scratch().query("SELECT pg_notify($1, $2)", Params{}.add(channel).add(payload));
}

std::string session(const std::string& name) {
  return "FROM pg_stat_activity WHERE application_name = '" + name + "'";
}

}  // namespace

TEST_CASE("listener: notifications arrive with channel and payload, in order") {
  ListenerFixture f(on({"rowcrew_wake", "Odd \"one\""}, "listener-order"));
  f.until([&] { return f.ready == 1; });
  CHECK(f.listener.connected());
  notify("rowcrew_wake", "mail");
  notify("elsewhere", "nobody");
  notify("Odd \"one\"", "");
  notify("rowcrew_wake", "default");
  f.until([&] { return f.heard.size() == 3; });
  CHECK(f.heard[0] == "rowcrew_wake:mail");
  CHECK(f.heard[1] == "Odd \"one\":");
  CHECK(f.heard[2] == "rowcrew_wake:default");
  CHECK(f.log.lines(event::kListenerReady).size() == 1);
  CHECK(f.log.lines(event::kListenerLost).empty());
  // Never in a transaction: it would hold back the server's queue for everybody.
  CHECK(scratch().value("SELECT (xact_start IS NULL)::text " + session("listener-order")) ==
        "true");
}

TEST_CASE("listener: a killed session is replaced and asks its owner to look again") {
  ListenerFixture f(on({"rowcrew_wake"}, "listener-killed"));
  f.until([&] { return f.ready == 1; });
  scratch().query("SELECT pg_terminate_backend(pid) " + session("listener-killed"));
  f.until([&] { return f.ready == 2; });
  CHECK(f.log.lines(event::kListenerLost).size() == 1);
  CHECK(f.log.lines(event::kListenerReady).size() == 2);
  notify("rowcrew_wake", "again");
  f.until([&] { return f.heard.size() == 1; });
}

TEST_CASE("listener: a server that ends idle sessions does not end its session") {
  const std::string setting = "ALTER DATABASE " + quote_identifier(scratch().name());
  scratch().exec(setting + " SET idle_session_timeout = '50ms'");
  ListenerFixture f(on({"rowcrew_wake"}, "listener-idle"));
  f.until([&] { return f.ready == 1; });
  // One that connects later and keeps the server's setting is ended for it.
  PoolOptions plain = *direct_options(scratch().options());
  plain.application_name = "plain-idle";
  Connector connector(plain);
  const Connection witness = connector.connect(nullptr);
  scratch().exec(setting + " RESET idle_session_timeout");
  f.until([&] { return scratch().value("SELECT count(*) " + session("plain-idle")) == "0"; });
  notify("rowcrew_wake", "still");
  f.until([&] { return f.heard.size() == 1; });
  CHECK(f.log.lines(event::kListenerLost).empty());
}

TEST_CASE("listener: a silent connection is asked, and kept when it answers") {
  ListenerOptions options = on({"rowcrew_wake"}, "listener-silent");
  options.self_test = 10ms;
  ListenerFixture f(options);
  f.until([&] { return f.ready == 1; });
  const std::string pid = scratch().value("SELECT pid " + session("listener-silent"));
  f.until([&] {
    return scratch().value(
               "SELECT (query LIKE 'SELECT 1%' AND state = 'idle' AND state_change > "
               "backend_start + interval '150 ms')::text " +
               session("listener-silent")) == "true";
  });
  CHECK(scratch().value("SELECT pid " + session("listener-silent")) == pid);
  notify("rowcrew_wake", "still here");
  f.until([&] { return f.heard.size() == 1; });
  CHECK(f.ready == 1);
}

TEST_CASE("listener: a peer that froze is found out, once said, and replaced when it is back") {
  PgProxy proxy(scratch().url());
  ListenerOptions options = on({"rowcrew_wake"}, "listener-frozen");
  options.connection.url = proxy.url();
  options.connection.connect_timeout = 100ms;
  options.self_test = 50ms;
  ListenerFixture f(options);
  f.until([&] { return f.ready == 1; });
  proxy.freeze();
  f.until([&] { return !f.listener.connected(); });
  f.until([&] { return proxy.accepted() >= 3; });  // it tries again, in vain
  CHECK(f.log.lines(event::kListenerLost).size() == 1);
  proxy.refuse();
  proxy.admit();
  f.until([&] { return f.ready == 2; });
  CHECK(f.log.lines(event::kListenerLost).size() == 1);
  CHECK(f.log.lines(event::kListenerReady).size() == 2);
}

TEST_CASE("listener: doubted, it asks at once instead of at the next self-test") {
  PgProxy proxy(scratch().url());
  ListenerOptions options = on({"rowcrew_wake"}, "listener-doubted");
  options.connection.url = proxy.url();
  options.connection.connect_timeout = 100ms;
  options.self_test = 1h;
  ListenerFixture f(options);
  f.until([&] { return f.ready == 1; });
  f.listener.probe();  // an answer: it stays
  f.until([&] { return scratch().value("SELECT (query LIKE 'SELECT 1%')::text " + session("listener-doubted")) == "true"; });
  notify("rowcrew_wake", "here");
  f.until([&] { return f.heard.size() == 1; });
  CHECK(f.log.lines(event::kListenerLost).empty());
  proxy.freeze();
  f.listener.probe();
  f.until([&] { return !f.listener.connected(); });
  CHECK(f.log.lines(event::kListenerLost).size() == 1);
}

TEST_CASE("listener: starts while the server is away") {
  PgProxy proxy(scratch().url());
  proxy.refuse();
  ListenerOptions options = on({"rowcrew_wake"}, "listener-early");
  options.connection.url = proxy.url();
  ListenerFixture f(options);
  f.until([&] { return !f.log.lines(event::kListenerLost).empty(); });
  CHECK_FALSE(f.listener.connected());
  proxy.admit();
  f.until([&] { return f.ready == 1; });
}

TEST_CASE("listener: one that stays away says after a minute why it does not come back, not only why it went") {
  PgProxy proxy(scratch().url());
  ListenerOptions options = on({"rowcrew_wake"}, "listener-refused");
  options.connection.url = proxy.url();
  ListenerFixture f(options);
  f.until([&] { return f.ready == 1; });
  proxy.refuse_login();
  scratch().query("SELECT pg_terminate_backend(pid) " + session("listener-refused"));
  f.until([&] { return proxy.accepted() >= 3; });  // it tries again, in vain
  CHECK(f.log.lines(event::kListenerLost).size() == 1);
  f.clock.ahead = 61s;
  f.until([&] { return f.log.lines(event::kListenerLost).size() == 2; });
  const auto said = f.log.lines(event::kListenerLost);
  CHECK(said[0].message.find("FATAL") == std::string::npos);
  CHECK(said[1].message.find("failed: FATAL") != std::string::npos);  // what the proxy answers to a login
}

TEST_CASE("listener: a server without a connection for it is told of, so that others give way") {
  const TempDatabase full(TempDatabase::Content::empty);
  const std::string limit = "ALTER DATABASE " + quote_identifier(full.name()) + " CONNECTION LIMIT ";
  scratch().exec(limit + "0");
  bool told = false;
  ListenerOptions options;
  options.connection = *direct_options(full.options());
  options.channels = {"rowcrew_wake"};
  options.crowded = [&told] { told = true; };
  ListenerFixture f(options);
  f.until([&] { return told; });
  scratch().exec(limit + "-1");
  f.until([&] { return f.ready == 1; });
}

TEST_CASE("listener: being cancelled ends it at once, wherever it is") {
  PgProxy proxy(scratch().url());
  ListenerOptions options = on({"rowcrew_wake"}, "listener-cancelled");
  options.connection.url = proxy.url();
  options.connection.connect_timeout = 60s;
  options.self_test = 60s;
  std::function<bool(ListenerFixture&)> there;
  SUBCASE("listening") {
    there = [](ListenerFixture& f) { return f.ready == 1; };
  }
  SUBCASE("connecting to a server that does not answer") {
    proxy.freeze();
    there = [&](ListenerFixture&) { return proxy.accepted() > 0; };
  }
  SUBCASE("waiting before the next attempt") {
    proxy.refuse();
    there = [](ListenerFixture& f) { return !f.log.lines(event::kListenerLost).empty(); };
  }
  SUBCASE("waiting for the answer to the self-test") {
    options.self_test = 10ms;
    there = [&](ListenerFixture& f) {
      if (f.ready == 1) proxy.freeze();
      f.io.run_for(100ms);
      return f.ready == 1;
    };
  }
  ListenerFixture f(options);
  f.until([&] { return there(f); });
  const auto lost_before = f.log.lines(event::kListenerLost).size();
  const auto begin = std::chrono::steady_clock::now();
  f.stop();
  CHECK(std::chrono::steady_clock::now() - begin < 20s);
  CHECK_FALSE(f.listener.connected());
  CHECK(f.log.lines(event::kListenerLost).size() == lost_before);  // stopping is no loss
  REQUIRE(f.end);
  try {
    std::rethrow_exception(f.end);
  } catch (const boost::system::system_error& error) {
    CHECK(error.code() == boost::asio::error::operation_aborted);
  }
}

TEST_CASE("listener: an event thread that never runs again leaves no thread behind") {
  PgProxy proxy(scratch().url());
  proxy.freeze();
  ListenerOptions options = on({"rowcrew_wake"}, "listener-abandoned");
  options.connection.url = proxy.url();
  options.connection.connect_timeout = 60s;
  LogCapture log;
  SystemClock clock;
  SystemRandom random;
  boost::asio::io_context io;
  Listener listener(
      options, [](std::string_view, std::string_view) {}, [] {}, log, clock, random);
  boost::asio::co_spawn(io, listener.run(), [](std::exception_ptr) {});
  io.poll();
  while (proxy.accepted() == 0) std::this_thread::yield();
}
