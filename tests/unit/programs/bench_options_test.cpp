#include <doctest/doctest.h>

#include <sstream>

#include <rowcrew/error.hpp>

#include "programs/bench/bench_options.hpp"

using namespace rowcrew::bench;

namespace {

BenchOptions read(const std::vector<std::string>& args) {
  rowcrew::cli::Arguments arguments("bench MODE", "");
  declare_options(arguments);
  std::ostringstream out;
  REQUIRE(arguments.parse(args, out));
  return read_options(arguments);
}

std::string refusal(const std::vector<std::string>& args) {
  try {
    read(args);
  } catch (const rowcrew::UsageError& e) {
    return e.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("bench: each mode has sizes of its own") {
  CHECK(read({"drain"}).jobs == 100'000);
  CHECK(read({"enqueue"}).jobs == 10'000);
  CHECK(read({"latency"}).jobs == 200);
  CHECK(read({"steady"}).jobs == 10'000);
  CHECK(read({"steady", "--rate", "50", "--seconds", "3"}).jobs == 150);
  CHECK(read({"drain", "--jobs", "5", "--slots", "3", "--batch", "2", "--json", "--yes"}).slots == 3);
}

TEST_CASE("bench: a mode that is none is refused with those there are") {
  CHECK(refusal({"fast"}) == "bench: fast, expected drain, latency, steady or enqueue");
}

TEST_CASE("bench: an option that the mode has no use for is refused, not ignored") {
  CHECK(refusal({"drain", "--rate", "5"}) == "--rate: bench drain has no use for it, expected of --jobs, --slots, --batch");
  CHECK(refusal({"latency", "--jobs", "5"}).starts_with("--jobs: bench latency"));
  CHECK(refusal({"steady", "--connections", "5"}).starts_with("--connections: bench steady"));
  CHECK(refusal({"enqueue", "--slots", "5"}).starts_with("--slots: bench enqueue"));
}

TEST_CASE("bench: numbers out of range are refused with the range") {
  CHECK(refusal({"drain", "--jobs", "0"}) == "--jobs: 0, expected a whole number, 1 to 10000000");
  CHECK(refusal({"enqueue", "--connections", "65"}) == "--connections: 65, expected a whole number, 1 to 64");
}
