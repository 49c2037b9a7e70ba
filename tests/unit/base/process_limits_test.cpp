#include "base/process_limits.hpp"

#include <sys/resource.h>

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

const ProcessNeeds kNeeds{10, 9'000};

TEST_CASE("limits: what suffices for every slot is no shortage") {
  CHECK(shortages({12'074, 32'768, 60'999}, kNeeds).empty());
  CHECK(shortages({~std::uint64_t{0}, 1'024, 65'535}, kNeeds).empty());
}

TEST_CASE("limits: a shortage names what was found and what was expected") {
  const auto descriptors = shortages({12'073, 32'768, 60'999}, kNeeds);
  REQUIRE(descriptors.size() == 1);
  CHECK(descriptors[0].find("may open 12073 (RLIMIT_NOFILE), expected 12074 for 9000 slots") != std::string::npos);
  const auto ports = shortages({20'000, 50'000, 58'998}, kNeeds);
  REQUIRE(ports.size() == 1);
  CHECK(ports[0].find("ports: 8999 for outgoing connections (50000-58998") != std::string::npos);
}

TEST_CASE("limits: too few for the process itself is an error") {
  CHECK(shortages({74, 32'768, 60'999}, kNeeds).size() == 1);
  CHECK_THROWS_WITH_AS(shortages({73, 32'768, 60'999}, kNeeds),
                       doctest::Contains("may open 73 (RLIMIT_NOFILE), expected at least 74"), ConfigError);
}

TEST_CASE("limits: the soft limit of descriptors is raised to the hard one") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = 100;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  const ProcessLimits limits = widened_limits();
  CHECK(limits.descriptors == before.rlim_max);
  CHECK(limits.first_port <= limits.last_port);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

}  // namespace
}  // namespace rowcrew
