#include "queue/limited_pacer.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr Mono kStart{1h};

LimitedAnswer answer(std::optional<std::chrono::milliseconds> look, std::string cursor = "{k}") {
  LimitedAnswer said;
  said.queue = "mail";
  said.cursor = std::move(cursor);
  said.look = look;
  return said;
}

struct Paced {
  Paced() : pacer({"mail", "photo"}) { pacer.rules({"mail", "photo"}, kStart); }
  LimitedWant walk(Mono now) {
    const auto want = pacer.want("mail", 10, 10, 0, now);
    REQUIRE(want);
    return *want;
  }
  LimitedPacer pacer;
};

TEST_CASE("limited pacer: asks for nothing while there are no rules") {
  LimitedPacer pacer({"mail"});
  pacer.woken(kStart);
  CHECK(pacer.due("mail", 10) == Mono::max());
  CHECK_FALSE(pacer.want("mail", 10, 10, 1, kStart));
  pacer.rules({"mail"}, kStart);
  CHECK(pacer.due("mail", 10) == kStart);
}

TEST_CASE("limited pacer: asks for nothing of a queue that no rule is about, whatever looks around") {
  LimitedPacer pacer({"mail", "photo"});
  pacer.rules({"mail"}, kStart);
  pacer.woken(kStart);
  pacer.glance("photo", kStart);
  CHECK(pacer.due("mail", 10) == kStart);
  CHECK(pacer.due("photo", 10) == Mono::max());
  CHECK_FALSE(pacer.want("photo", 10, 10, 1, kStart));
  CHECK(pacer.idle("photo"));
  pacer.rules({"photo"}, kStart + 1s);
  CHECK(pacer.due("mail", 10) == Mono::max());
  CHECK(pacer.due("photo", 10) == kStart);  // what was told meanwhile is not forgotten
}

TEST_CASE("limited pacer: when the last rule goes nothing is asked for, whatever waited") {
  Paced p;
  LimitedAnswer found = answer(0ms);
  found.groups = found.jobs = 100;
  p.pacer.answered(*p.pacer.want("mail", 100, 100, 0, kStart), found, kStart);
  REQUIRE(p.pacer.ahead("mail", kStart));
  p.pacer.rules({}, kStart);
  CHECK(p.pacer.idle("mail"));
  CHECK_FALSE(p.pacer.waits("mail"));
  CHECK_FALSE(p.pacer.ahead("mail", kStart));
  CHECK(p.pacer.batch("mail", 400, 400, 0) == 400);
  CHECK(p.pacer.due("mail", 100) == Mono::max());
  CHECK_FALSE(p.pacer.want("mail", 10, 10, 4, kStart));
}

TEST_CASE("limited pacer: an answer says when the next walk may find something") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  CHECK(p.pacer.due("mail", 10) == Mono::max());  // one walk at a time
  p.pacer.answered(want, answer(200ms), kStart + 1ms);
  CHECK(p.pacer.waits("mail"));
  CHECK(p.pacer.due("mail", 10) == kStart + 201ms);
  CHECK(p.walk(kStart + 201ms).cursor == "{k}");
}

TEST_CASE("limited pacer: rests when nothing waits, until work is announced") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(std::nullopt), kStart);
  CHECK_FALSE(p.pacer.waits("mail"));
  CHECK(p.pacer.due("mail", 10) == Mono::max());
  p.pacer.rules({"mail", "photo"}, kStart + 1s);  // those of before
  CHECK(p.pacer.due("mail", 10) == Mono::max());
  CHECK_FALSE(p.pacer.want("mail", 10, 10, 1, kStart + 1s));  // no job of the group waits for the permit
  p.pacer.woken(kStart + 5s);
  CHECK(p.pacer.due("mail", 10) == kStart + 5s);
}

TEST_CASE("limited pacer: permits stay with their groups only while slots are to spare") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  const auto spare = p.pacer.want("mail", 10, 10, 4, kStart);
  REQUIRE(spare);
  CHECK(spare->first);
  CHECK_FALSE(spare->walk());
  CHECK_FALSE(p.pacer.want("mail", 0, 0, 4, kStart));
  const auto scarce = p.pacer.want("mail", 1, 1, 1, kStart);
  REQUIRE(scarce);
  CHECK_FALSE(scarce->first);
  CHECK(scarce->walk());
  CHECK_FALSE(p.pacer.want("mail", 4, 4, 4, kStart));  // one walk at a time
}

TEST_CASE("limited pacer: where walks leave jobs for want of slots no permit stays with its group") {
  Paced p;
  LimitedAnswer found = answer(0ms);
  found.groups = found.jobs = 100;
  p.pacer.answered(*p.pacer.want("mail", 100, 100, 0, kStart), found, kStart);
  const auto want = p.pacer.want("mail", 10, 10, 4, kStart);
  REQUIRE(want);
  CHECK_FALSE(want->first);
}

TEST_CASE("limited pacer: a refused hand-over leaves the walk that is under way alone") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  const auto handed = p.pacer.want("mail", 10, 10, 1, kStart + 1ms);
  REQUIRE(handed);
  p.walk(kStart + 200ms);
  p.pacer.refused(*handed, kStart + 201ms);
  CHECK(p.pacer.due("mail", 10) == Mono::max());
}

TEST_CASE("limited pacer: a late answer of who did not look leaves a queue idle that a walk found empty") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  const auto handed = p.pacer.want("mail", 10, 10, 1, kStart + 1ms);
  REQUIRE(handed);
  p.pacer.answered(p.walk(kStart + 200ms), answer(std::nullopt), kStart + 200ms);
  p.pacer.answered(*handed, answer(0ms), kStart + 201ms);
  CHECK(p.pacer.idle("mail"));
}

TEST_CASE("limited pacer: a look around is worth a walk only some while after the last") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  p.pacer.glance(kStart + 2ms);
  CHECK(p.pacer.due("mail", 10) == kStart + 10ms);
  p.pacer.glance(kStart + 50ms);
  CHECK(p.pacer.due("mail", 10) == kStart + 10ms);
}

TEST_CASE("limited pacer: a second walk goes along while every slot is filled, from another place on") {
  Paced p;
  LimitedAnswer found = answer(0ms, "{a}");
  found.groups = found.jobs = 100;
  Mono now = kStart;
  const auto walk = [&](std::size_t count) { return p.pacer.want("mail", count, count, 0, now); };
  p.pacer.answered(*walk(100), found, kStart);
  const auto one = walk(100);
  CHECK(one->cursor == "{a}");
  CHECK_FALSE(walk(10));  // not for a few
  const auto two = walk(100);
  REQUIRE(two);
  CHECK(two->cursor == "");
  CHECK_FALSE(walk(100));
  found.cursor = "{m}";
  p.pacer.answered(*two, found, kStart);
  found.cursor = "{b}";
  found.look = 200ms;
  p.pacer.answered(*one, found, kStart);
  now += 200ms;
  const auto three = walk(100);
  CHECK(three->cursor == "{b}");
  CHECK_FALSE(walk(100));  // it left none for want of slots
  found.cursor = "{c}";
  found.look = 0ms;
  p.pacer.answered(*three, found, now);
  const auto four = walk(100);
  CHECK(four->cursor == "{c}");
  CHECK(walk(100)->cursor == "{m}");  // where the last second one ended
  p.pacer.answered(*four, answer(std::nullopt), now);
  CHECK_FALSE(p.pacer.idle("mail"));  // that one is under way
  p.pacer.woken(now);
  CHECK_FALSE(walk(10));
}

TEST_CASE("limited pacer: no second walk goes along from the place where the first one begins") {
  Paced p;
  LimitedAnswer found = answer(0ms, "");
  found.groups = found.jobs = 100;
  p.pacer.answered(*p.pacer.want("mail", 100, 100, 0, kStart), found, kStart);
  REQUIRE(p.pacer.want("mail", 100, 100, 0, kStart));
  CHECK_FALSE(p.pacer.want("mail", 100, 100, 0, kStart));
}

TEST_CASE("limited pacer: asks in batches only while slots are scarce and end fast") {
  Paced p;
  CHECK(p.pacer.batch("mail", 1, 400, 400) == 1);
  LimitedAnswer found = answer(0ms);
  p.pacer.answered(p.walk(kStart), found, kStart);  // stale hints only
  CHECK(p.pacer.batch("mail", 400, 400, 0) == 400);
  found.groups = found.jobs = 100;
  p.pacer.answered(*p.pacer.want("mail", 100, 100, 0, kStart), found, kStart);
  CHECK(p.pacer.batch("mail", 99, 400, 200) == 0);
  CHECK(p.pacer.batch("mail", 100, 400, 200) == 100);
  CHECK(p.pacer.batch("mail", 1, 400, 199) == 1);
  CHECK(p.pacer.batch("mail", 400, 400, 0) == 200);
}

TEST_CASE("limited pacer: asks for more than there are slots while walks give more, and again some while after one did not") {
  Paced p;
  LimitedAnswer found = answer(0ms);
  CHECK_FALSE(p.pacer.ahead("mail", kStart));
  found.jobs = 100;
  p.pacer.answered(*p.pacer.want("mail", 100, 100, 0, kStart), found, kStart);
  CHECK(p.pacer.ahead("mail", kStart));  // there is plenty
  const auto more = p.pacer.want("mail", 150, 100, 0, kStart);
  CHECK(more->slots == 100);
  p.pacer.answered(*more, found, kStart);
  CHECK_FALSE(p.pacer.ahead("mail", kStart + 99ms));
  CHECK(p.pacer.ahead("mail", kStart + 100ms));
  found.jobs = 101;
  p.pacer.answered(*p.pacer.want("mail", 150, 100, 0, kStart), found, kStart);
  CHECK(p.pacer.ahead("mail", kStart));
  found.look = 200ms;  // not every slot was filled
  p.pacer.answered(*p.pacer.want("mail", 150, 100, 0, kStart), found, kStart);
  CHECK_FALSE(p.pacer.ahead("mail", kStart + 1s));
}

TEST_CASE("limited pacer: where no group has room it looks at all of them at once, and then rests") {
  Paced p;
  const auto in_vain = [&](Mono sent, std::string cursor, std::chrono::milliseconds look) {
    LimitedAnswer found = answer(look, std::move(cursor));
    found.more = true;
    p.pacer.answered(p.walk(sent), found, sent + 5ms);
    return p.pacer.due("mail", 10) - (sent + 5ms);
  };
  CHECK(in_vain(kStart, "{f}", 200ms) == 0ms);  // a to f
  CHECK(in_vain(kStart + 5ms, "{p}", 2ms) == 0ms);
  CHECK(in_vain(kStart + 10ms, "{c}", 200ms) == 15ms);  // q to z, then a to c: they took longer than the shortest look
  SUBCASE("the next round begins where this one ended") {
    CHECK(in_vain(kStart + 1s, "{m}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1005ms, "{b}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1010ms, "{h}", 200ms) == 200ms);
  }
  SUBCASE("what was announced meanwhile makes it look at all of them once more") {
    CHECK(in_vain(kStart + 1s, "{m}", 200ms) == 0ms);
    p.pacer.woken(kStart + 1s);
    CHECK(in_vain(kStart + 1005ms, "{b}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1010ms, "{h}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1015ms, "{n}", 200ms) == 200ms);
  }
  SUBCASE("so do permits that went to nobody") {
    CHECK(in_vain(kStart + 1s, "{m}", 200ms) == 0ms);
    p.pacer.walk_now("mail", kStart + 1s);
    CHECK(in_vain(kStart + 1005ms, "{b}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1010ms, "{h}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1015ms, "{n}", 200ms) == 200ms);
  }
  SUBCASE("it ends with a walk that gave a job") {
    CHECK(in_vain(kStart + 1s, "{m}", 200ms) == 0ms);
    LimitedAnswer found = answer(0ms, "{n}");
    found.groups = found.jobs = 1;
    p.pacer.answered(p.walk(kStart + 1005ms), found, kStart + 1005ms);
    CHECK(in_vain(kStart + 1010ms, "{b}", 200ms) == 0ms);
    CHECK(in_vain(kStart + 1015ms, "{h}", 200ms) == 0ms);
  }
}

TEST_CASE("limited pacer: looks once a second however long there will be no room, since not all that changes is announced") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(1h), kStart);
  CHECK(p.pacer.due("mail", 10) == kStart + 1s);
}

TEST_CASE("limited pacer: begins with about as many groups as the last walk needed") {
  Paced p;
  LimitedAnswer found = answer(0ms);
  CHECK(p.walk(kStart).groups == 2);
  found.groups = 25;
  found.jobs = 100;
  p.pacer.answered({"mail", 100, 100, "", 2, true}, found, kStart);
  CHECK(p.pacer.want("mail", 100, 100, 0, kStart)->groups == 26);
  p.pacer.answered({"mail", 100, 100, "", 26, true}, found, kStart);
  CHECK(p.pacer.want("mail", 4, 4, 0, kStart)->groups == 2);
  p.pacer.answered({"mail", 4, 4, "", 2, true}, found, kStart);
  CHECK(p.pacer.want("mail", 900, 900, 0, kStart)->groups == 128);
}

TEST_CASE("limited pacer: is idle in a queue that was looked at and where nothing waits") {
  LimitedPacer pacer({"mail"});
  CHECK(pacer.idle("mail"));  // no rules
  pacer.rules({"mail"}, kStart);
  CHECK_FALSE(pacer.idle("mail"));
  auto want = pacer.want("mail", 1, 1, 0, kStart);
  REQUIRE(want);
  CHECK_FALSE(pacer.idle("mail"));
  pacer.answered(*want, answer(200ms), kStart);
  CHECK_FALSE(pacer.idle("mail"));
  want = pacer.want("mail", 1, 1, 0, kStart + 200ms);
  REQUIRE(want);
  pacer.answered(*want, answer(std::nullopt), kStart + 200ms);
  CHECK(pacer.idle("mail"));
}

TEST_CASE("limited pacer: what was announced during a walk makes another one due") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  p.pacer.woken(kStart + 1ms);
  p.pacer.answered(want, answer(std::nullopt), kStart + 2ms);
  CHECK(p.pacer.due("mail", 10) == kStart + 2ms);
}

TEST_CASE("limited pacer: permits are handed over without a walk while jobs wait") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  CHECK_FALSE(p.pacer.want("mail", 10, 10, 0, kStart + 1ms));
  const auto want = p.pacer.want("mail", 10, 10, 1, kStart + 1ms);
  REQUIRE(want);
  CHECK_FALSE(want->walk());
  p.pacer.answered(*want, answer(std::nullopt), kStart + 2ms);
  CHECK(p.pacer.due("mail", 10) == kStart + 200ms);  // nobody walked: the plan of before holds
}

TEST_CASE("limited pacer: permits that went to nobody are worth a walk at once") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  p.pacer.walk_now("mail", kStart + 10ms);
  CHECK(p.pacer.due("mail", 10) == kStart + 10ms);
}

TEST_CASE("limited pacer: a refused walk is tried again after a while") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  p.pacer.refused(want, kStart);
  CHECK(p.pacer.due("mail", 10) == kStart + 500ms);
}

TEST_CASE("limited pacer: shares of a queue's slots take turns with the odd one") {
  Paced p;
  CHECK(p.pacer.share("mail", 1) + p.pacer.share("mail", 1) == 1);
  CHECK(p.pacer.share("mail", 10) == 5);
}

}  // namespace
}  // namespace rowcrew
