#include "pg_fixture.hpp"

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "base/event.hpp"
#include "pg/connection.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

using SteadyClock = std::chrono::steady_clock;

/// A statement under way, and how it ended.
struct Running {
  Running(PoolFixture& f, std::string_view text) : statement(sql(text)) {
    boost::asio::co_spawn(f.io, f.pool.query(statement, {}),
                          [this](std::exception_ptr e, const Rows&) { error = e; });
    f.poll();
  }
  std::string code() const {
    if (!error) return "none";
    return code_of([&] { std::rethrow_exception(error); });
  }
  Statement statement;
  std::exception_ptr error;
};

}  // namespace

TEST_CASE("pool stop: a running statement is cancelled when its time is over") {
  PoolFixture f;
  Running running(f, "SELECT pg_sleep(60) /* stop */");
  await_true(active("/* stop */", scratch().name()));
  const auto begin = SteadyClock::now();
  f.pool.stop(200ms);
  const auto took = SteadyClock::now() - begin;
  CHECK(took >= 200ms);
  CHECK(took < 20s);
  f.drain();
  CHECK(running.code() == "db_57014");  // politely; force would have been "db_lost"
  await_true("NOT " + active("/* stop */", scratch().name()));
}

TEST_CASE("pool stop: what ends by itself in time is not disturbed") {
  PoolFixture f;
  Running running(f, "SELECT pg_sleep(0.3) /* short */");
  await_true(active("/* short */", scratch().name()));
  f.pool.stop(30s);
  f.drain();
  CHECK(running.code() == "none");
}

TEST_CASE("pool stop: what waits is abandoned, what comes later is refused") {
  PoolOptions options = sessions();
  options.threads = 1;
  PoolFixture f(options);
  Running running(f, "SELECT pg_sleep(60) /* front */");
  await_true(active("/* front */", scratch().name()));
  Running waiting(f, "SELECT 1");
  f.pool.stop(0ms);
  Running late(f, "SELECT 1");

  f.drain();
  CHECK(running.code() == "db_57014");
  CHECK(waiting.code() == "db_stopped");
  CHECK(late.code() == "db_stopped");
  f.pool.stop(0ms);
}

TEST_CASE("pool stop: at its end no closure is left that refers to anything, however long it takes") {
  PoolFixture f;
  std::promise<void> inside;
  std::promise<void> over;
  std::future<void> end = over.get_future();
  std::atomic<bool> left{false};
  auto work = [&](Tx&) {
    inside.set_value();
    // stop() waits for nobody as long as this: had end() left the closure behind, it would hear of it here.
    CHECK(end.wait_for(2500ms) == std::future_status::timeout);
    left = true;
  };
  std::exception_ptr failed;
  boost::asio::co_spawn(f.io, f.pool.run(TxMode::autocommit, std::move(work)), [&](std::exception_ptr e) { failed = e; });
  f.poll();
  inside.get_future().wait();
  f.pool.end();
  over.set_value();
  CHECK(left);
  f.drain();
  CHECK(failed == nullptr);
}

TEST_CASE("pool stop: a closure that waits for an absent server ends at once") {
  PgProxy proxy(scratch().url());
  PoolOptions options = sessions();
  options.url = proxy.url();
  options.wait = 60s;
  options.connect_timeout = 60s;
  std::function<bool(PoolFixture&)> waits;
  SUBCASE("refused, between two attempts") {
    proxy.refuse();
    waits = [](PoolFixture& f) { return !f.log.lines(event::kDbUnreachable).empty(); };
  }
  SUBCASE("silent, in the middle of an attempt") {
    proxy.freeze();
    waits = [&](PoolFixture&) { return proxy.accepted() > 0; };
  }
  PoolFixture f(options);
  Running running(f, "SELECT 1");
  while (!waits(f)) std::this_thread::yield();
  const auto begin = SteadyClock::now();
  f.pool.stop(30s);
  CHECK(SteadyClock::now() - begin < 20s);
  f.drain();
  CHECK(running.code() == "db_stopped");
}

TEST_CASE("pool stop: a name server that does not answer is not waited for") {
  std::promise<void> answer;
  const auto answered = answer.get_future().share();
  PoolOptions options = sessions();
  options.url = "postgresql://nobody@far.example/none";
  Connector connector(options, [answered](const std::string&) {
    answered.wait_for(20s);
    return HostAddresses{{}, "too late"};
  });
  Interrupt interrupt;
  interrupt.trigger();
  const auto begin = SteadyClock::now();
  CHECK(code_of([&] { connector.connect(&interrupt); }) == "db_stopped");
  CHECK(SteadyClock::now() - begin < 10s);
  answer.set_value();
}

TEST_CASE("pool stop: a frozen server does not hold the destructor") {
  PgProxy proxy(scratch().url());
  PoolOptions options = sessions();
  options.url = proxy.url();
  constexpr Statement kSleep{"sleep", "SELECT pg_sleep(60) /* frozen */"};
  SteadyClock::time_point begin;
  boost::asio::io_context io;
  std::exception_ptr error;
  LogCapture log;
  {
    Pool pool(options, log);
    boost::asio::co_spawn(io, pool.query(kSleep, {}),
                          [&](std::exception_ptr e, const Rows&) { error = e; });
    io.poll();
    await_true(active("/* frozen */", scratch().name()));
    proxy.freeze();
    begin = SteadyClock::now();
  }
  CHECK(SteadyClock::now() - begin < 20s);
  io.run();
  REQUIRE(error);
  const DbError lost = db_error_of([&] { std::rethrow_exception(error); });
  CHECK(lost.connection_lost());
}

TEST_CASE("pool stop: an io_context that never runs again leaks nothing") {
  LogCapture log;
  boost::asio::io_context io;
  Pool pool(sessions(), log);
  boost::asio::co_spawn(io, pool.query(kOne, {}), [](std::exception_ptr, const Rows&) {});
  io.poll();
  pool.stop(10s);
}
