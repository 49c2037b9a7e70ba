#include "ingest/database_probe.hpp"

#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include <rowcrew/db_error.hpp>

#include "scripted_db.hpp"
#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"

namespace rowcrew::testing {
namespace {

using namespace std::chrono_literals;

/// The probe at work; `sqlstate` is what the database answers with, unset: well.
struct Bench {
  Bench() {
    boost::asio::co_spawn(
        io, probe.run(),
        boost::asio::bind_cancellation_slot(stop.slot(), [](std::exception_ptr) {}));
    io.poll();
  }
  ~Bench() {
    stop.emit(boost::asio::cancellation_type::terminal);
    io.poll();
  }
  void pass(std::chrono::milliseconds span) {
    clock.advance(span);
    io.poll();
  }

  boost::asio::io_context io;
  boost::asio::cancellation_signal stop;
  FakeClock clock;
  LogCapture log;
  bool reachable = true;
  std::optional<std::string> sqlstate;
  ScriptedDb db{[this](const Statement&, const Params&) -> Rows {
    if (sqlstate) throw DbError(ErrorClass::bug, *sqlstate, "no", sqlstate->empty(), false);
    return Rows(1);
  }};
  DatabaseProbe probe{db, [this] { return reachable; }, clock, log};
};

}  // namespace

TEST_CASE("the probe asks at once and then every five seconds") {
  Bench bench;
  CHECK(bench.db.calls().size() == 1);
  CHECK(bench.db.calls()[0].statement == "ingest/key");
  bench.pass(4s);
  CHECK(bench.db.calls().size() == 1);
  bench.pass(1s);
  CHECK(bench.db.calls().size() == 2);
}

TEST_CASE("while the database is away it asks every second") {
  Bench bench;
  bench.reachable = false;
  bench.pass(5s);
  bench.pass(1s);
  bench.pass(1s);
  CHECK(bench.db.calls().size() == 4);
  CHECK_FALSE(bench.probe.ready());
}

TEST_CASE("a missing schema is told once a minute, and is over by itself") {
  Bench bench;
  CHECK(bench.probe.ready());
  bench.sqlstate = "42883";
  bench.pass(5s);
  CHECK_FALSE(bench.probe.ready());
  for (int second = 0; second < 59; ++second) bench.pass(1s);
  const auto lines = bench.log.lines("ingest.not_set_up");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].message.find("rowcrew migrate") != std::string::npos);
  bench.pass(1s);
  CHECK(bench.log.lines("ingest.not_set_up").size() == 2);
  bench.sqlstate.reset();
  bench.pass(1s);
  CHECK(bench.probe.ready());
}

}  // namespace rowcrew::testing
