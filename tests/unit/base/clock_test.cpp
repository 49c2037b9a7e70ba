#include <doctest/doctest.h>
#include <time.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <set>

#include "base/system_clock.hpp"
#include "support/fake_clock.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

struct Sleep {
  std::exception_ptr error;
  bool ended = false;
};

void start(asio::io_context& io, Clock& clock, Mono when, Sleep& sleep,
           asio::cancellation_signal& cancel) {
  asio::co_spawn(io, clock.sleep_until(when),
                 asio::bind_cancellation_slot(cancel.slot(), [&sleep](std::exception_ptr error) {
                   sleep.error = error;
                   sleep.ended = true;
                 }));
}

bool aborted(const Sleep& sleep) {
  if (!sleep.error) return false;
  try {
    std::rethrow_exception(sleep.error);
  } catch (const boost::system::system_error& error) {
    return error.code() == asio::error::operation_aborted;
  }
}

asio::awaitable<void> note(Clock& clock, Mono when, int id, std::vector<int>& order) {
  co_await clock.sleep_until(when);
  order.push_back(id);
}

}  // namespace

TEST_CASE("fake clock: sleepers wake in the order of their due times") {
  asio::io_context io;
  testing::FakeClock clock;
  std::vector<int> order;
  const Mono t0 = clock.mono();
  int id = 0;
  for (const auto delay : {30s, 10s, 20s, 10s, 60s}) {
    asio::co_spawn(io, note(clock, t0 + delay, ++id, order), [](std::exception_ptr) {});
  }
  io.poll();
  CHECK(clock.sleepers() == 5);
  clock.advance(9'999ms);
  io.poll();
  CHECK(order.empty());
  clock.advance(30s);
  io.poll();
  CHECK(order == std::vector<int>{2, 4, 3, 1});
  CHECK(clock.sleepers() == 1);
  CHECK(clock.mono() - t0 == 39'999ms);
  CHECK(clock.wall().time_since_epoch() % 24h == 39'999ms);
}

TEST_CASE("both clocks: a sleep into the past ends, but not before others had their turn") {
  asio::io_context io;
  testing::FakeClock fake;
  SystemClock real;
  Clock* clock = nullptr;
  SUBCASE("fake") {
    clock = &fake;
  }
  SUBCASE("real") {
    clock = &real;
  }
  Sleep sleep;
  asio::cancellation_signal cancel;
  start(io, *clock, clock->mono() - 1s, sleep, cancel);
  CHECK_FALSE(sleep.ended);
  io.run();
  CHECK(sleep.ended);
  CHECK(sleep.error == nullptr);
}

TEST_CASE("both clocks: a cancelled sleep ends with operation_aborted") {
  asio::io_context io;
  testing::FakeClock fake;
  SystemClock real;
  Clock* clock = nullptr;
  SUBCASE("fake") {
    clock = &fake;
  }
  SUBCASE("real") {
    clock = &real;
  }
  Sleep sleep;
  asio::cancellation_signal cancel;
  start(io, *clock, clock->mono() + 1h, sleep, cancel);
  io.poll();
  cancel.emit(asio::cancellation_type::terminal);
  io.restart();
  io.run();
  CHECK(aborted(sleep));
  CHECK(fake.sleepers() == 0);
}

TEST_CASE("fake clock: a sleep that is due stays due when it is cancelled afterwards") {
  asio::io_context io;
  testing::FakeClock clock;
  Sleep sleep;
  asio::cancellation_signal cancel;
  start(io, clock, clock.mono() + 1s, sleep, cancel);
  io.poll();
  clock.advance(1s);
  cancel.emit(asio::cancellation_type::terminal);
  io.restart();
  io.run();
  CHECK(sleep.ended);
  CHECK(sleep.error == nullptr);
}

TEST_CASE("the real clock counts what CLOCK_BOOTTIME counts, and sleeps as long as it says") {
  SystemClock clock;
  timespec now{};
  REQUIRE(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  const Mono boot{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
  CHECK(clock.mono() >= boot);
  CHECK(clock.mono() - boot < 10s);

  asio::io_context io;
  const Mono due = clock.mono() + 5ms;
  testing::run(io, clock.sleep_until(due));
  CHECK(clock.mono() >= due);
}

TEST_CASE("random bits do not repeat, also over the refill of the buffer") {
  SystemRandom random;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(random.bits());
  CHECK(seen.size() == 100);
  for (int i = 0; i < 100; ++i) {
    const double unit = random.unit();
    CHECK(unit >= 0.0);
    CHECK(unit < 1.0);
  }
}

TEST_CASE("fake randomness deals its script, then counts") {
  testing::FakeRandom random({7, 9});
  CHECK(random.bits() == 7);
  CHECK(random.bits() == 9);
  CHECK(random.bits() == 1);
  CHECK(random.bits() == 2);
}
