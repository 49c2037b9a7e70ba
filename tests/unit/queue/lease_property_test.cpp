#include <doctest/doctest.h>

#include "lease_simulation.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using testing::LeaseSimulation;

constexpr double kRateError = 1e-3;

TEST_CASE(
    "lease: over a quarter of a million steps nobody is declared dead while a handler lives") {
  int deaths = 0;
  int revivals = 0;
  double closest = 1e9;
  std::uint64_t seed = 1;
  for (const MonoClock::duration lease :
       {MonoClock::duration(2s), MonoClock::duration(30s), MonoClock::duration(10min)}) {
    // The worst pair comes last: a slow node, watched by a fast clock.
    for (const double error : {0.0, kRateError, -kRateError}) {
      for (int run = 0; run < 8; ++run, ++seed) {
        CAPTURE(lease.count());
        CAPTURE(error);
        CAPTURE(seed);
        LeaseSimulation simulation(lease, 1 + error, 1 - error, seed);
        simulation.run(4'000);
        deaths += simulation.deaths();
        revivals += simulation.revivals();
        // What the inequality keeps in hand, a thirtieth of the lease, is never touched.
        const double epsilon = static_cast<double>(lease.count()) / 30;
        CHECK(simulation.least_margin() >= epsilon - 1'000);
        closest = std::min(closest, simulation.least_margin() / epsilon);
      }
    }
  }
  // It was no idle walk: nodes died and lived again, and the margin was nearly used up.
  CHECK(deaths > 500);
  CHECK(revivals > 500);
  CHECK(closest < 1.1);
}

}  // namespace
}  // namespace rowcrew
