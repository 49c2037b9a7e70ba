#include "pg_fixture.hpp"

#include <future>

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

PoolOptions one_thread() {
  PoolOptions options = sessions();
  options.threads = 1;
  return options;
}

/// Occupies the pool's only thread until released.
class Occupied {
 public:
  explicit Occupied(PoolFixture& f) {
    auto work = [this](Tx&) {
      started_.set_value();
      release_.get_future().wait();
    };
    boost::asio::co_spawn(f.io, f.pool.run(TxMode::autocommit, work), [](std::exception_ptr) {});
    f.poll();
    started_.get_future().wait();
  }
  void release() { release_.set_value(); }

 private:
  std::promise<void> started_, release_;
};

/// Starts a query and remembers how it ended.
struct Asked {
  void start(PoolFixture& f) {
    boost::asio::co_spawn(f.io, f.pool.query(kOne, {}),
                          [this](std::exception_ptr error, const Rows&) {
                            if (error) {
                              code = code_of([&] { std::rethrow_exception(error); });
                            } else {
                              code = "answered";
                            }
                          });
    f.poll();
  }
  std::string code = "open";
};

}  // namespace

TEST_CASE("pool queue: one closure too many is refused at once, the waiting ones are served") {
  PoolOptions options = one_thread();
  options.queue = 2;
  PoolFixture f(options);
  Occupied occupied(f);
  Asked asked[3];
  for (Asked& a : asked) a.start(f);
  CHECK(f.pool.waiting() == 2);
  f.poll();
  CHECK(asked[2].code == "db_busy");
  CHECK(asked[0].code == "open");
  occupied.release();

  f.drain();
  CHECK(asked[0].code == "answered");
  CHECK(asked[1].code == "answered");
  CHECK(f.pool.waiting() == 0);
}

TEST_CASE("pool queue: a closure waits for a thread no longer than it may") {
  PoolOptions options = one_thread();
  options.wait = 50ms;
  PoolFixture f(options);
  Occupied occupied(f);
  Asked asked;
  asked.start(f);
  f.io.restart();
  while (asked.code == "open") f.io.run_one();
  CHECK(asked.code == "db_timeout");
  occupied.release();

  f.drain();
  CHECK(f.value("SELECT 1") == "1");
}

TEST_CASE("pool queue: closures of many coroutines all come home") {
  PoolOptions options = sessions();
  options.threads = 4;
  options.queue = 1000;
  PoolFixture f(options);
  constexpr Statement kEcho{"echo", "SELECT $1::int"};
  std::int64_t sum = 0;
  int errors = 0;
  for (int i = 1; i <= 1000; ++i) {
    boost::asio::co_spawn(f.io, f.pool.query(kEcho, Params{}.add(i)),
                          [&](std::exception_ptr error, const Rows& rows) {
                            if (error) {
                              ++errors;
                            } else {
                              sum += rows.integer(0, 0);
                            }
                          });
  }
  f.drain();
  CHECK(errors == 0);
  CHECK(sum == 500500);
}
