#include "queue/lease_watch.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr Mono kStart{1h};

NodeBeat node(std::int64_t id, std::int64_t beat, std::int64_t epoch = 7,
              MonoClock::duration lease = 30s) {
  return {id, epoch, beat, lease};
}

/// One read that takes a second; the dead as node ids.
std::vector<std::int64_t> look(LeaseWatch& watch, Mono asked, std::vector<NodeBeat> nodes) {
  std::vector<std::int64_t> dead;
  for (const NodeBeat& d : watch.observe(asked, asked + 1s, nodes)) dead.push_back(d.node_id);
  return dead;
}

/// Reads every five seconds between the two, as a watcher does whom nothing keeps from it.
void look_on(LeaseWatch& watch, Mono from, Mono to, const std::vector<NodeBeat>& nodes) {
  for (Mono at = from + 5s; at < to; at += 5s) look(watch, at, nodes);
}

using Ids = std::vector<std::int64_t>;

TEST_CASE("lease watch: a beat that stands still for a lease is dead, not a nanosecond earlier") {
  LeaseWatch watch;
  CHECK(look(watch, kStart, {node(1, 5)}).empty());
  look_on(watch, kStart, kStart + 30s, {node(1, 5)});
  // first seen when the first answer was here: + 1 s
  CHECK(look(watch, kStart + 31s - 1ns, {node(1, 5)}).empty());
  CHECK(look(watch, kStart + 31s, {node(1, 5)}) == Ids{1});
}

TEST_CASE("lease watch: names the epoch and the beat that were watched") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5, 9)});
  look_on(watch, kStart, kStart + 30s, {node(1, 5, 9)});
  const std::vector<NodeBeat> seen{node(1, 5, 9)};
  const auto dead = watch.observe(kStart + 40s, kStart + 41s, seen);
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].epoch == 9);
  CHECK(dead[0].beat == 5);
}

TEST_CASE("lease watch: a single read never buries anybody, however old the row") {
  LeaseWatch watch;
  CHECK(watch.observe(kStart, kStart + 10h, std::vector{node(1, 5)}).empty());
}

TEST_CASE("lease watch: a read that hung is judged by when it was asked") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5)});
  CHECK(watch.observe(kStart + 10s, kStart + 1h, std::vector{node(1, 5)}).empty());
}

TEST_CASE("lease watch: any change of the beat starts anew, a step back too") {
  for (const std::int64_t next : {6, 4, 500}) {
    LeaseWatch watch;
    look(watch, kStart, {node(1, 5)});
    look_on(watch, kStart, kStart + 40s, {node(1, 5)});
    CHECK(look(watch, kStart + 40s, {node(1, next)}).empty());
    look_on(watch, kStart + 40s, kStart + 70s, {node(1, next)});
    CHECK(look(watch, kStart + 70s, {node(1, next)}).empty());
    CHECK(look(watch, kStart + 71s, {node(1, next)}) == Ids{1});
  }
}

TEST_CASE("lease watch: another epoch is another life") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5, 7)});
  look_on(watch, kStart, kStart + 40s, {node(1, 5, 7)});
  CHECK(look(watch, kStart + 40s, {node(1, 5, 8)}).empty());
  look_on(watch, kStart + 40s, kStart + 70s, {node(1, 5, 8)});
  CHECK(look(watch, kStart + 71s, {node(1, 5, 8)}) == Ids{1});
}

TEST_CASE("lease watch: a node that was gone and came back is watched from its return on") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5)});
  look(watch, kStart + 20s, {});
  CHECK(look(watch, kStart + 40s, {node(1, 5)}).empty());
  look_on(watch, kStart + 40s, kStart + 70s, {node(1, 5)});
  CHECK(look(watch, kStart + 71s, {node(1, 5)}) == Ids{1});
}

TEST_CASE("lease watch: each node has its own lease") {
  LeaseWatch watch;
  const std::vector<NodeBeat> nodes{node(1, 5), node(2, 5, 7, 5s), node(3, 5, 7, 10min)};
  look(watch, kStart, nodes);
  for (Mono at = kStart + 2s; at < kStart + 6s; at += 2s) CHECK(look(watch, at, nodes).empty());
  CHECK(look(watch, kStart + 6s, nodes) == Ids{2});
  look_on(watch, kStart + 6s, kStart + 30s, nodes);
  CHECK(look(watch, kStart + 31s, nodes) == Ids{1, 2});
  look_on(watch, kStart + 31s, kStart + 600s, nodes);
  CHECK(look(watch, kStart + 601s, nodes) == Ids{1, 2, 3});
}

TEST_CASE("lease watch: after an outage the nodes that could not beat either have half a lease to do so") {
  LeaseWatch watch;
  const std::vector<NodeBeat> nodes{node(1, 5), node(2, 5)};
  look(watch, kStart, nodes);
  look_on(watch, kStart, kStart + 10s, nodes);
  const Mono back = kStart + 2min;  // nobody could read or write in between
  CHECK(look(watch, back, nodes).empty());
  CHECK(watch.next_look() == back + 1s + 6s);
  CHECK(look(watch, back + 5s, {node(1, 6), node(2, 5)}).empty());
  CHECK(look(watch, back + 16s - 1ns, {node(1, 6), node(2, 5)}).empty());
  CHECK(look(watch, back + 16s, {node(1, 7), node(2, 5)}) == Ids{2});
}

TEST_CASE("lease watch: who reads rarely buries the dead all the same") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5)});
  CHECK(look(watch, kStart + 40s, {node(1, 5)}).empty());
  CHECK(look(watch, kStart + 80s, {node(1, 5)}) == Ids{1});
}

TEST_CASE("lease watch: the next look is due when a beat that stands still may be judged") {
  LeaseWatch watch;
  CHECK_FALSE(watch.next_look().has_value());
  look(watch, kStart, {node(1, 5)});
  CHECK(watch.next_look() == kStart + 1s + 3s);
  look_on(watch, kStart, kStart + 29s, {node(1, 5)});
  look(watch, kStart + 29s, {node(1, 5)});
  CHECK(watch.next_look() == kStart + 31s);
  look(watch, kStart + 31s, {node(1, 5)});
  CHECK(watch.next_look() == kStart + 35s);  // judged; whether it is dead is not known here
  look(watch, kStart + 35s, {});
  CHECK_FALSE(watch.next_look().has_value());
}

TEST_CASE("lease watch: the more there are to watch, the more watch with it and the rarer are its looks") {
  LeaseWatch watch;
  look(watch, kStart, {node(1, 5), node(2, 5), node(3, 5)});
  CHECK(watch.next_look() == kStart + 1s + 9s);
  look(watch, kStart + 5s, {node(1, 6), node(2, 6, 7, 10s)});
  CHECK(watch.next_look() == kStart + 6s + 2s);  // a shorter lease asks for more
  look(watch, kStart + 7s, {node(1, 7, 7, 10s), node(2, 7)});
  CHECK(watch.next_look() == kStart + 8s + 2s);
}

TEST_CASE("lease watch: a death is noticed a tenth of a lease after the lease, at whatever moment it comes") {
  for (int died_ms = 0; died_ms < 12'000; died_ms += 37) {
    LeaseWatch watch;
    Mono now = kStart;
    Mono last_beat = kStart;
    for (bool noticed = false; !noticed; now = watch.next_look().value()) {
      const auto beats = std::min<std::int64_t>((now - kStart) / 5s, died_ms / 5'000);
      last_beat = kStart + beats * 5s;
      noticed = !watch.observe(now, now, std::vector{node(1, beats)}).empty();
      if (noticed) CHECK(now - last_beat <= 33s);
      REQUIRE(now < kStart + 60s);
    }
  }
}

}  // namespace
}  // namespace rowcrew
