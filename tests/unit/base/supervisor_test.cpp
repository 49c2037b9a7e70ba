#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "base/event.hpp"
#include "base/service.hpp"
#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

/// Fails `failures` times, then runs until it is cancelled.
class Scripted final : public Service {
 public:
  Scripted(std::string name, Clock& clock, int failures = 0)
      : failures_left(failures), name_(std::move(name)), clock_(clock) {}
  std::string_view name() const override { return name_; }
  asio::awaitable<void> run() override {
    ++runs;
    if (failures_left > 0) {
      --failures_left;
      if (return_instead) co_return;
      throw std::runtime_error("out of luck");
    }
    try {
      for (;;) co_await clock_.sleep_until(clock_.mono() + 1h);
    } catch (const boost::system::system_error& error) {
      if (ended_order != nullptr) ended_order->push_back(name_);
      if (throw_on_stop) throw std::runtime_error("clean-up failed");
      throw;
    }
  }

  int runs = 0;
  int failures_left;
  bool return_instead = false;
  bool throw_on_stop = false;
  std::vector<std::string>* ended_order = nullptr;

 private:
  std::string name_;
  Clock& clock_;
};

/// Takes no notice of its cancellation until `let_go`.
class Stubborn final : public Service {
 public:
  explicit Stubborn(asio::io_context& io) : let_go(io, asio::steady_timer::time_point::max()) {}
  std::string_view name() const override { return "stubborn"; }
  asio::awaitable<void> run() override {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    boost::system::error_code ignored;
    co_await let_go.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  asio::steady_timer let_go;
};

struct Crew {
  asio::io_context io;
  testing::FakeClock clock;
  // unit() of these bits is 1 - 2^-53: every delay is the whole of its ceiling.
  testing::FakeRandom random{std::vector<std::uint64_t>(64, ~std::uint64_t{0})};
  testing::LogCapture log;
  Supervisor supervisor{io.get_executor(), clock, random, log};

  void poll() {
    io.restart();
    io.poll();
  }
  void advance(std::chrono::nanoseconds by) {
    clock.advance(by);
    poll();
  }
  /// The end of a stop: polls, and moves time to the deadline if that is what it waits for.
  std::optional<bool> stopped;
  void begin(asio::awaitable<bool> stop) {
    asio::co_spawn(io, std::move(stop), [this](std::exception_ptr error, bool ended) {
      REQUIRE(error == nullptr);
      stopped = ended;
    });
    poll();
  }
};

}  // namespace

TEST_CASE("a service that throws is logged and started again after its delay") {
  Crew crew;
  Scripted service("flaky", crew.clock, 2);
  crew.supervisor.start(service);
  crew.poll();
  CHECK(service.runs == 1);
  crew.advance(99ms);
  CHECK(service.runs == 1);
  crew.advance(1ms);
  CHECK(service.runs == 2);
  crew.advance(200ms);
  CHECK(service.runs == 3);
  const auto lines = crew.log.lines(event::kServiceRestarted);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].level == LogLevel::warning);
  CHECK(lines[0].field("service") == "flaky");
  CHECK(lines[0].field("error") == "out of luck");
  CHECK(lines[0].field("delay_ms") == "100");
  CHECK(lines[1].field("delay_ms") == "200");
}

TEST_CASE("a service that returns has failed as well") {
  Crew crew;
  Scripted service("done", crew.clock, 1);
  service.return_instead = true;
  crew.supervisor.start(service);
  crew.poll();
  REQUIRE(crew.log.lines(event::kServiceRestarted).size() == 1);
  CHECK(crew.log.lines()[0].field("error") == "returned, expected it to run until cancelled");
}

TEST_CASE("five failures within a minute end in one call of on_fatal") {
  Crew crew;
  Scripted hopeless("hopeless", crew.clock, 1000);
  Scripted other("other", crew.clock, 1000);
  std::vector<std::string> fatal;
  crew.supervisor.on_fatal([&](std::string_view name) { fatal.emplace_back(name); });
  crew.supervisor.start(hopeless);
  crew.supervisor.start(other);
  crew.poll();
  for (int i = 0; i < 20; ++i) crew.advance(1s);
  CHECK(fatal == std::vector<std::string>{"hopeless"});
  CHECK(hopeless.runs == 5);
  CHECK(other.runs == 5);
  const auto lines = crew.log.lines(event::kServiceFailed);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].level == LogLevel::error);
  CHECK(lines[0].field("error") == "out of luck");
}

TEST_CASE("stopping a service cancels it, waits for its end and logs no failure") {
  Crew crew;
  Scripted service("steady", crew.clock);
  crew.supervisor.start(service);
  crew.poll();
  crew.begin(crew.supervisor.stop(service, 5s));
  CHECK(crew.stopped == true);
  CHECK(crew.log.lines().empty());
  CHECK(crew.clock.sleepers() == 0);
}

TEST_CASE("stopping a service that waits for its restart ends the wait") {
  Crew crew;
  Scripted service("flaky", crew.clock, 1);
  crew.supervisor.start(service);
  crew.poll();
  crew.begin(crew.supervisor.stop(service, 5s));
  CHECK(crew.stopped == true);
  crew.advance(1h);
  CHECK(service.runs == 1);
}

TEST_CASE("a service that fails while it stops is not started again, but the log knows") {
  Crew crew;
  Scripted service("messy", crew.clock);
  service.throw_on_stop = true;
  crew.supervisor.start(service);
  crew.poll();
  crew.begin(crew.supervisor.stop(service, 5s));
  CHECK(crew.stopped == true);
  CHECK(service.runs == 1);
  REQUIRE(crew.log.lines(event::kServiceFailed).size() == 1);
  CHECK(crew.log.lines()[0].field("error") == "clean-up failed");
}

TEST_CASE("a stop that takes too long says so, and a later one finds the end") {
  Crew crew;
  Stubborn service(crew.io);
  crew.supervisor.start(service);
  crew.poll();
  crew.begin(crew.supervisor.stop(service, 5s));
  crew.advance(4999ms);
  CHECK(crew.stopped == std::nullopt);
  crew.advance(1ms);
  CHECK(crew.stopped == false);
  service.let_go.cancel();
  crew.poll();
  crew.begin(crew.supervisor.stop(service, 5s));
  CHECK(crew.stopped == true);
}

TEST_CASE("stopping what was never started is done at once") {
  Crew crew;
  Scripted service("idle", crew.clock);
  crew.begin(crew.supervisor.stop(service, 5s));
  CHECK(crew.stopped == true);
}

TEST_CASE("all are cancelled, the latest started first") {
  Crew crew;
  std::vector<std::string> order;
  Scripted first("first", crew.clock);
  Scripted second("second", crew.clock);
  Scripted third("third", crew.clock);
  for (Scripted* service : {&first, &second, &third}) {
    service->ended_order = &order;
    crew.supervisor.start(*service);
  }
  crew.poll();
  crew.begin(crew.supervisor.stop_all(5s));
  CHECK(crew.stopped == true);
  CHECK(order == std::vector<std::string>{"third", "second", "first"});
}

TEST_CASE("one stubborn service does not keep the others from stopping") {
  Crew crew;
  std::vector<std::string> order;
  Scripted early("early", crew.clock);
  early.ended_order = &order;
  Stubborn stubborn(crew.io);
  crew.supervisor.start(early);
  crew.supervisor.start(stubborn);
  crew.poll();
  crew.begin(crew.supervisor.stop_all(5s));
  CHECK(order == std::vector<std::string>{"early"});
  crew.advance(5s);
  CHECK(crew.stopped == false);
  stubborn.let_go.cancel();
  crew.poll();
}

TEST_CASE("a supervisor that goes away takes its services along") {
  asio::io_context io;
  testing::FakeClock clock;
  testing::FakeRandom random;
  testing::LogCapture log;
  std::vector<std::string> order;
  Scripted service("orphan", clock);
  service.ended_order = &order;
  {
    Supervisor supervisor(io.get_executor(), clock, random, log);
    supervisor.start(service);
    io.poll();
  }
  io.restart();
  io.run();
  CHECK(order == std::vector<std::string>{"orphan"});
  CHECK(log.lines().empty());
}

TEST_CASE("a throwing on_fatal leaves the event loop instead of getting lost") {
  Crew crew;
  Scripted service("hopeless", crew.clock, 1000);
  crew.supervisor.on_fatal([](std::string_view) { throw std::logic_error("no exit"); });
  crew.supervisor.start(service);
  const auto drive = [&] {
    for (int i = 0; i < 20; ++i) crew.advance(1s);
  };
  CHECK_THROWS_AS(drive(), std::logic_error);
}
