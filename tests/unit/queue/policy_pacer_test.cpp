#include "queue/policy_pacer.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
constexpr Mono kStart{1h};

TEST_CASE("policy pacer: a node that works rereads twice a minute, one that rests every ten minutes") {
  PolicyPacer pacer;
  CHECK(pacer.due(kStart, 0, true));
  pacer.read(kStart, 0);
  CHECK_FALSE(pacer.due(kStart + 30s, 0, true));
  CHECK(pacer.due(kStart + 10min, 0, true));
  CHECK_FALSE(pacer.due(kStart + 30s - 1ns, 1, true));
  CHECK(pacer.due(kStart + 30s, 1, true));
}

TEST_CASE("policy pacer: a node that rested for long rereads as soon as it has started a job") {
  PolicyPacer pacer;
  pacer.read(kStart, 70);
  CHECK_FALSE(pacer.due(kStart + 9min, 70, true));
  CHECK(pacer.due(kStart + 9min, 71, true));
}

TEST_CASE("policy pacer: who is not told of changes does not rest, and who is rereads at once") {
  PolicyPacer pacer;
  pacer.read(kStart, 0);
  CHECK(pacer.due(kStart + 30s, 0, false));
  CHECK_FALSE(pacer.due(kStart + 1s, 0, true));
  pacer.changed();
  CHECK(pacer.due(kStart + 1s, 0, true));
}

}  // namespace
}  // namespace rowcrew
