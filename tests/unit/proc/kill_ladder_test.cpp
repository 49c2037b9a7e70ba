#include "proc/kill_ladder.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using Step = KillLadder::Step;

TEST_CASE("kill ladder: at the deadline a program is told to end, after the grace it is killed") {
  KillLadder ladder;
  CHECK(ladder.timer() == Step::terminate);
  CHECK(ladder.timed_out());
  CHECK_FALSE(ladder.killing());
  CHECK(ladder.timer() == Step::kill);
  CHECK(ladder.killing());
}

TEST_CASE("kill ladder: a program that was asked to end did not time out") {
  KillLadder ladder;
  CHECK(ladder.asked() == Step::terminate);
  CHECK(ladder.timer() == Step::kill);
  CHECK_FALSE(ladder.timed_out());
}

TEST_CASE("kill ladder: asking again neither repeats SIGTERM nor prolongs the grace") {
  KillLadder ladder;
  ladder.asked();
  CHECK(ladder.asked() == Step::none);
  ladder.timer();
  CHECK(ladder.asked() == Step::none);
}

TEST_CASE("kill ladder: when the daemon's lease is over a program is told to end, then killed") {
  KillLadder ladder;
  CHECK(ladder.lease_over() == Step::terminate);
  CHECK(ladder.outlived_lease());
  CHECK(ladder.timer() == Step::kill);
  CHECK_FALSE(ladder.timed_out());
}

TEST_CASE("kill ladder: a lease that ends later than the program was told to changes nothing") {
  KillLadder ladder;
  ladder.asked();
  CHECK(ladder.lease_over() == Step::none);
  CHECK_FALSE(ladder.outlived_lease());
}

TEST_CASE("kill ladder: when the daemon is gone there is no grace") {
  KillLadder ladder;
  SUBCASE("while running") {}
  SUBCASE("while terminating") {
    ladder.asked();
  }
  CHECK(ladder.orphaned() == Step::kill);
  CHECK_FALSE(ladder.timed_out());
}

TEST_CASE("kill ladder: what a program leaves behind when it ends by itself is killed") {
  KillLadder ladder;
  CHECK(ladder.program_ended() == Step::kill);
  CHECK(ladder.timer() == Step::none);
  CHECK_FALSE(ladder.timed_out());
}

TEST_CASE("kill ladder: companions of a program that was told to end keep the rest of the grace") {
  KillLadder ladder;
  ladder.asked();
  CHECK(ladder.program_ended() == Step::none);
  CHECK_FALSE(ladder.killing());
  CHECK(ladder.timer() == Step::kill);
}

}  // namespace
}  // namespace rowcrew
