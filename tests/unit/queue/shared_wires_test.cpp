#include "queue/shared_wires.hpp"

#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <optional>
#include <string>

namespace rowcrew {
namespace {

namespace asio = boost::asio;

struct FakeWire final : Wire {
  explicit FakeWire(char its_name) : name(its_name) {}
  asio::awaitable<std::vector<Rows>> exec(std::vector<Call>) override { co_return std::vector<Rows>{}; }
  char name;
};

/// Callers that keep their wire until they are told to leave.
struct WiresBench {
  explicit WiresBench(const std::string& names) {
    std::vector<std::unique_ptr<Wire>> all;
    for (const char name : names) all.push_back(std::make_unique<FakeWire>(name));
    wires.emplace(std::move(all));
  }
  void take(int n) {
    const auto on_end = [](std::exception_ptr error) { CHECK(error == nullptr); };
    for (int i = 0; i < n; ++i) asio::co_spawn(io, one(callers.emplace_back()), on_end);
    poll();
  }
  asio::awaitable<void> one(std::optional<SharedWires::Taken>& caller) {
    auto taken = wires->take();
    caller.emplace(co_await std::move(taken));
  }
  void leave(std::size_t n) {
    callers[n].reset();
    poll();
  }
  void each(std::size_t n) {
    wires->each(n);
    poll();
  }
  void poll() {
    io.restart();
    io.poll();
  }
  /// A letter for each caller: its wire, or a dot.
  std::string who() const {
    std::string text;
    for (const auto& caller : callers) text += caller ? static_cast<FakeWire&>(**caller).name : '.';
    return text;
  }

  asio::io_context io{1};
  std::optional<SharedWires> wires;
  std::deque<std::optional<SharedWires::Taken>> callers;
};

}  // namespace

TEST_CASE("shared wires: one caller each, the next one waits for the first that leaves") {
  WiresBench b("ab");
  b.take(3);
  CHECK(b.who() == "ab.");
  b.leave(1);
  CHECK(b.who() == "a.b");
}

TEST_CASE("shared wires: with two callers each, all wires are used before one has two") {
  WiresBench b("abc");
  b.each(2);
  b.take(5);
  CHECK(b.who() == "abcab");
  b.leave(2);
  b.take(2);
  CHECK(b.who() == "ab.abcc");
  b.take(1);
  b.leave(0);
  CHECK(b.who() == ".b.abcca");
}

TEST_CASE("shared wires: back to one each, nobody follows before the others have left") {
  WiresBench b("a");
  b.each(2);
  b.take(3);
  CHECK(b.who() == "aa.");
  b.each(1);
  b.leave(0);
  CHECK(b.who() == ".a.");
  b.leave(1);
  CHECK(b.who() == "..a");
}

TEST_CASE("shared wires: what was taken may outlive them, none may be had of none") {
  WiresBench b("a");
  b.take(2);
  CHECK_FALSE(b.wires->none());
  b.wires.reset();
  b.leave(0);
  CHECK(b.who() == ".a");
  CHECK(SharedWires({}).none());
}

}  // namespace rowcrew
