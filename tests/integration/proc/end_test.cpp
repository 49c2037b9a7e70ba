// That nothing is left of a child, however it, its caller or its host ends.
#include <sys/wait.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <optional>

#include "integration/proc/children.hpp"

namespace rowcrew::testing {
namespace {

// A program that ignores SIGTERM, with a child that does so too and one that left its session.
constexpr const char* kStubborn =
    "trap '' TERM; sleep 1000 & setsid sh -c ': > escaped; sleep 1000; :' & "
    "until [ -e escaped ]; do :; done; : > ready; while :; do sleep 1000; done";

// What the caller of a child got.
struct Ending {
  std::exception_ptr error;
  ChildResult result;
  bool aborted() const {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const boost::system::system_error& e) {
      return e.code() == boost::asio::error::operation_aborted;
    }
    return false;
  }
};

using Then = std::function<void(boost::asio::cancellation_signal&)>;

// Runs `request` and does `then` beside it as soon as `when` holds.
Ending run_beside(Children& children, ChildRequest request, std::function<bool()> when, Then then) {
  Ending ending;
  int open = 2;
  boost::asio::cancellation_signal cancel;
  const auto leave = [&] {
    if (--open == 0) children.io.stop();
  };
  boost::asio::co_spawn(children.io, children.runner.run(std::move(request)),
                        boost::asio::bind_cancellation_slot(
                            cancel.slot(), [&](std::exception_ptr error, ChildResult result) {
                              ending = {error, std::move(result)};
                              leave();
                            }));
  boost::asio::co_spawn(children.io, children.until(std::move(when)),
                        [&](std::exception_ptr error) {
                          CHECK_FALSE(error);
                          then(cancel);
                          leave();
                        });
  children.io.run();
  return ending;
}

void cancel_it(boost::asio::cancellation_signal& cancel) {
  cancel.emit(boost::asio::cancellation_type::terminal);
}

TEST_CASE("child: at the timeout even what ignores SIGTERM or left the session is killed") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.timeout = 1500ms;
  request.grace = 100ms;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.timed_out);
  CHECK(result.signal == SIGKILL);
  CHECK(children.exists("ready"));
  CHECK(children.processes().empty());
}

TEST_CASE("child: one that ends at SIGTERM is not killed") {
  Children children;
  ChildRequest request =
      children.shell("trap 'echo bye; exit 5' TERM; while :; do sleep 0.01; done");
  request.timeout = 200ms;
  request.grace = 20s;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.timed_out);
  CHECK(result.exit_code == 5);
  CHECK(result.output == "bye\n");
}

TEST_CASE("child: the runner cuts a grace that is longer than a lease or a stop can wait") {
  Children children;
  PosixChildRunner hasty(children.io.get_executor(), "", children.clock, children.log, 50ms);
  ChildRequest request = children.shell(kStubborn);
  request.timeout = 1s;
  request.grace = 1000s;
  const ChildResult result = testing::run(children.io, hasty.run(std::move(request)));
  CHECK(result.signal == SIGKILL);
  CHECK(children.processes().empty());
}

TEST_CASE("child: a cancelled caller goes on when the group is gone") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.grace = 100ms;
  const auto ready = [&] { return children.exists("ready"); };
  const Ending ending = run_beside(children, std::move(request), ready, cancel_it);
  CHECK(ending.aborted());
  CHECK(children.processes().empty());
}

TEST_CASE("child: companions of a cancelled program may use the grace to clean up") {
  Children children;
  ChildRequest request = children.shell(
      "(trap 'sleep 0.2; : > cleaned; exit' TERM; : > ready; while :; do sleep 0.01; done) & wait");
  request.grace = 20s;
  const auto ready = [&] { return children.exists("ready"); };
  const Ending ending = run_beside(children, std::move(request), ready, cancel_it);
  CHECK(ending.aborted());
  CHECK(children.exists("cleaned"));
  CHECK(children.processes().empty());
}

TEST_CASE("child: a second cancellation does not let the caller go before the group is gone") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.grace = 300ms;
  const auto ready = [&] { return children.exists("ready"); };
  const Ending ending = run_beside(children, std::move(request), ready, [&](auto& cancel) {
    cancel_it(cancel);
    // Behind the caller's resumption, so that it meets the second wait.
    boost::asio::post(children.io, [&cancel] { cancel_it(cancel); });
  });
  CHECK(ending.aborted());
  CHECK(children.processes().empty());
}

TEST_CASE("child: a caller that was cancelled is cancelled at its next await as well") {
  Children children;
  bool went_on = false;
  const auto caller = [&]() -> boost::asio::awaitable<ChildResult> {
    ChildRequest request = children.shell(": > ready; exec sleep 1000");
    try {
      co_return co_await children.runner.run(std::move(request));
    } catch (const boost::system::system_error&) {
    }
    co_await children.clock.sleep_until(children.clock.mono());
    went_on = true;
    co_return ChildResult();
  };
  boost::asio::cancellation_signal cancel;
  bool failed = false;
  boost::asio::co_spawn(children.io, caller,
                        boost::asio::bind_cancellation_slot(
                            cancel.slot(), [&](std::exception_ptr error, ChildResult) {
                              failed = error != nullptr;
                              children.io.stop();
                            }));
  boost::asio::co_spawn(children.io, children.until([&] { return children.exists("ready"); }),
                        [&](std::exception_ptr) { cancel_it(cancel); });
  children.io.run();
  CHECK(failed);
  CHECK_FALSE(went_on);
}

TEST_CASE("child: strays of a program that ended by itself are killed, its result counts") {
  Children children;
  const ChildResult result =
      children.run(children.shell("sleep 1000 & setsid sleep 1000 & echo left; exit 4"));
  CHECK(result.exit_code == 4);
  CHECK(result.output == "left\n");
  CHECK(children.processes().empty());
}

TEST_CASE("child: a program that flees by forking for ever is caught") {
  Children children;
  const ChildResult result = children.run(children.shell("hop() { hop & }; hop; exit 4"));
  CHECK(result.exit_code == 4);
  CHECK(children.processes().empty());
}

TEST_CASE("child: signals other than SIGKILL do not take the guardian away") {
  Children children;
  ChildRequest request = children.shell(": > ready; until [ -e go ]; do sleep 0.01; done; exit 6");
  const auto ready = [&] { return children.exists("ready"); };
  const Ending ending = run_beside(children, std::move(request), ready, [&](auto&) {
    const auto shims = children.processes("rowcrew-shim");
    CHECK(shims.size() == 1);
    for (const pid_t shim : shims) {
      for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1}) ::kill(shim, signal);
    }
    std::ofstream(children.directory / "go") << "";
  });
  CHECK_FALSE(ending.error);
  CHECK(ending.result.exit_code == 6);
}

TEST_CASE("child: when its guardian is killed it goes too, and the caller may try again") {
  Children children;
  ChildRequest request = children.shell("sleep 1000 & : > ready; wait");
  const auto ready = [&] { return children.exists("ready"); };
  const Ending ending = run_beside(children, std::move(request), ready, [&](auto&) {
    for (const pid_t shim : children.processes("rowcrew-shim")) ::kill(shim, SIGKILL);
  });
  REQUIRE(ending.error);
  CHECK_THROWS_AS(std::rethrow_exception(ending.error), TransientError);
  CHECK(children.log.lines("child.lost").size() == 1);
  CHECK(children.holds_soon([&] { return children.processes().empty(); }));
}

TEST_CASE("child: dropping the event loop takes running children with it") {
  Children children;
  {
    boost::asio::io_context io;
    PosixChildRunner runner(io.get_executor(), "", children.clock, children.log);
    ChildRequest request = children.shell(kStubborn);
    boost::asio::co_spawn(io, runner.run(std::move(request)),
                          [](std::exception_ptr, ChildResult) { FAIL_CHECK("it went on"); });
    const Mono deadline = children.clock.mono() + kPatience;
    while (!children.exists("ready") && children.clock.mono() < deadline) io.run_for(3ms);
  }
  CHECK(children.exists("ready"));
  CHECK(children.processes().empty());
}

// A process of its own that runs `request` until it is killed.
pid_t start_host(Children& children, const ChildRequest& request,
                 std::optional<Mono::duration> lease = {}) {
  const pid_t host = ::fork();
  if (host == 0) {
    boost::asio::io_context io;
    PosixChildRunner runner(io.get_executor(), "", children.clock, children.log, kAnyGrace);
    if (lease) runner.hold_until(children.clock.mono() + *lease);
    boost::asio::co_spawn(io, runner.run(request), [](std::exception_ptr, ChildResult) {});
    io.run();
    ::_exit(0);
  }
  return host;
}

TEST_CASE("child: SIGKILL of its host ends the whole group at once") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.timeout = 1000s;
  request.grace = 1000s;
  const pid_t host = start_host(children, request);
  REQUIRE(children.holds_soon([&] { return children.exists("ready"); }));
  CHECK(children.holds_soon([&] { return children.processes("sleep").size() >= 2; }));
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
  CHECK(children.holds_soon([&] { return children.processes().empty(); }));
}

TEST_CASE("child: when its host is stopped, the deadline still ends the group") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.timeout = 2s;
  request.grace = 100ms;
  const pid_t host = start_host(children, request);
  REQUIRE(children.holds_soon([&] { return children.exists("ready"); }));
  ::kill(host, SIGSTOP);
  CHECK(!children.processes().empty());
  CHECK(children.holds_soon([&] { return children.processes().empty(); }));
  int status = 0;
  CHECK(::waitpid(host, &status, WNOHANG) == 0);  // still there: nobody but the shim acted
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
}

TEST_CASE("child: a program dies with its guardian even while its host is stopped") {
  Children children;
  const pid_t host = start_host(children, children.shell(": > ready; exec sleep 1000"));
  REQUIRE(children.holds_soon([&] { return children.processes("sleep").size() == 1; }));
  ::kill(host, SIGSTOP);
  for (const pid_t shim : children.processes("rowcrew-shim")) ::kill(shim, SIGKILL);
  CHECK(children.holds_soon([&] { return children.processes().empty(); }));
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
}

TEST_CASE("child: when its host is stopped past its lease, the lease ends the group") {
  Children children;
  ChildRequest request = children.shell(kStubborn);
  request.timeout = 1000s;
  request.grace = 100ms;
  const pid_t host = start_host(children, request, 2s);
  REQUIRE(children.holds_soon([&] { return children.exists("ready"); }));
  ::kill(host, SIGSTOP);
  CHECK(!children.processes().empty());
  CHECK(children.holds_soon([&] { return children.processes().empty(); }));
  int status = 0;
  CHECK(::waitpid(host, &status, WNOHANG) == 0);  // still there: nobody but the shim acted
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
}

TEST_CASE("child: a lease that is renewed in time ends nothing, one that is not ends the child") {
  Children children;
  children.runner.hold_until(children.clock.mono() + 3s);
  ChildRequest request = children.shell("trap exit TERM; : > ready; while :; do sleep 0.01; done");
  request.grace = 20s;
  Mono renewed_until{};
  const auto past_the_first = [&] {
    if (renewed_until == Mono{} && children.exists("ready")) {
      renewed_until = children.clock.mono() + 4s;
      children.runner.hold_until(renewed_until);
    }
    return renewed_until != Mono{};
  };
  const Ending ending = run_beside(children, std::move(request), past_the_first, [](auto&) {});
  CHECK(children.clock.mono() >= renewed_until - 2ms);  // the shim counts in milliseconds
  try {
    if (ending.error) std::rethrow_exception(ending.error);
    FAIL("the child ended by itself");
  } catch (const TransientError& error) {
    CHECK(error.code() == "child_lease_over");
  }
  CHECK(children.processes().empty());
}

TEST_CASE("child: one that starts after the lease is ended at once") {
  Children children;
  children.runner.hold_until(children.clock.mono() - 1s);
  ChildRequest request = children.shell("exec sleep 1000");
  CHECK(children.code_of(std::move(request)) == "child_lease_over");
  CHECK(children.processes().empty());
}

TEST_CASE("child: a runner without its shim is a configuration error") {
  boost::asio::io_context io;
  SystemClock clock;
  LogCapture log;
  CHECK_THROWS_AS(PosixChildRunner(io.get_executor(), "/no/such/shim", clock, log), ConfigError);
  CHECK_THROWS_AS(PosixChildRunner(io.get_executor(), "rowcrew-shim", clock, log), ConfigError);
}

}  // namespace
}  // namespace rowcrew::testing
