#include "web/web_handler.hpp"

#include <doctest/doctest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <string>
#include <vector>

#include <rowcrew/db_error.hpp>

#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// Answers nothing before the gate opens, and then that it is away.
class HangingDb final : public Db {
 public:
  explicit HangingDb(asio::io_context& io) : gate(io, std::chrono::steady_clock::time_point::max()) {}
  int asked = 0;
  asio::steady_timer gate;

 private:
  asio::awaitable<void> submit(TxMode, std::function<void(Tx&)>) override {
    ++asked;
    co_await gate.async_wait(asio::as_tuple(asio::use_awaitable));
    throw DbError(ErrorClass::transient, "08006", "the database is away", true, false);
  }
};

struct Bench {
  ServerRequest request(std::string method, std::string path, const char* token = "the-right-token-0123") {
    ServerRequest made;
    made.method = std::move(method);
    made.path = std::move(path);
    made.peer = "192.0.2.7";
    made.headers = {{"Authorization", std::string("Bearer ") + token}};
    return made;
  }

  asio::io_context io;
  FakeClock clock;
  LogCapture log;
  HangingDb db{io};
  web::WebHandler handler{{"the-right-token-0123", true}, db, clock, log};
};

}  // namespace

TEST_CASE("web handler: who look at the fleet while the database hangs wait for one reading together") {
  Bench bench;
  std::vector<int> statuses;
  const auto look = [&] {
    asio::co_spawn(bench.io, bench.handler.answer(bench.request("GET", "/api/fleet")), [&](std::exception_ptr error, ServerResponse response) {
      CHECK_FALSE(error);
      statuses.push_back(response.status);
    });
  };
  for (int i = 0; i < 20; ++i) look();
  bench.io.poll();
  CHECK(bench.db.asked == 1);
  CHECK(statuses.empty());
  bench.db.gate.cancel();
  bench.io.restart();
  bench.io.poll();
  CHECK(statuses == std::vector<int>(20, 503));

  look();  // a failure is kept for nobody
  bench.io.restart();
  bench.io.poll();
  CHECK(bench.db.asked == 2);
  bench.db.gate.cancel();
  bench.io.restart();
  bench.io.poll();
  CHECK(statuses.size() == 21);
}

TEST_CASE("web handler: who does not know the token cannot fill the log") {
  Bench bench;
  const auto ask = [&](const char* method, const char* path, const char* token) {
    return run(bench.io, bench.handler.answer(bench.request(method, path, token))).status;
  };
  const std::string long_path = "/api/" + std::string(4000, 'x');
  for (int i = 0; i < 100; ++i) {
    CHECK(ask("GET", long_path.c_str(), "wrong") == 401);
    CHECK(ask("POST", "/", "wrong") == 405);
  }
  REQUIRE(bench.log.lines("web.refused").size() == 1);
  bench.clock.advance(1s);
  CHECK(ask("GET", long_path.c_str(), "wrong") == 401);
  const auto lines = bench.log.lines("web.refused");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].field("untold") == "199");
  CHECK(lines[1].field("path").size() == 200);
  for (int i = 0; i < 3; ++i) CHECK(ask("POST", "/api/jobs", "the-right-token-0123") == 405);
  CHECK(bench.log.lines("web.refused").size() == 5);  // who knows it is told of each time
}

}  // namespace rowcrew::testing
