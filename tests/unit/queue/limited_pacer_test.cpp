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
  Paced() : pacer({"mail", "photo"}) { pacer.rules(true, kStart); }
  LimitedWant walk(Mono now) {
    const auto want = pacer.want("mail", 10, false, now);
    REQUIRE(want);
    return *want;
  }
  LimitedPacer pacer;
};

TEST_CASE("limited pacer: asks for nothing while there are no rules") {
  LimitedPacer pacer({"mail"});
  pacer.woken(kStart);
  CHECK(pacer.due("mail") == Mono::max());
  CHECK_FALSE(pacer.want("mail", 10, true, kStart));
  pacer.rules(true, kStart);
  CHECK(pacer.due("mail") == kStart);
}

TEST_CASE("limited pacer: an answer says when the next walk may find something") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  CHECK(p.pacer.due("mail") == Mono::max());  // one walk at a time
  p.pacer.answered(want, answer(200ms), kStart + 1ms);
  CHECK(p.pacer.waits("mail"));
  CHECK(p.pacer.due("mail") == kStart + 201ms);
  CHECK(p.walk(kStart + 201ms).cursor == "{k}");
}

TEST_CASE("limited pacer: rests when nothing waits, until work is announced") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(std::nullopt), kStart);
  CHECK_FALSE(p.pacer.waits("mail"));
  CHECK(p.pacer.due("mail") == Mono::max());
  p.pacer.woken(kStart + 5s);
  CHECK(p.pacer.due("mail") == kStart + 5s);
}

TEST_CASE("limited pacer: begins with about as many groups as the last walk needed") {
  Paced p;
  LimitedAnswer found = answer(0ms);
  CHECK(p.walk(kStart).groups == 2);
  found.groups = 25;
  found.jobs = 100;
  p.pacer.answered({"mail", 100, "", 2}, found, kStart);
  CHECK(p.pacer.want("mail", 100, false, kStart)->groups == 26);
  p.pacer.answered({"mail", 100, "", 26}, found, kStart);
  CHECK(p.pacer.want("mail", 4, false, kStart)->groups == 2);
  p.pacer.answered({"mail", 4, "", 2}, found, kStart);
  CHECK(p.pacer.want("mail", 500, false, kStart)->groups == 64);
}

TEST_CASE("limited pacer: is idle in a queue that was looked at and where nothing waits") {
  LimitedPacer pacer({"mail"});
  CHECK(pacer.idle("mail"));  // no rules
  pacer.rules(true, kStart);
  CHECK_FALSE(pacer.idle("mail"));
  auto want = pacer.want("mail", 1, false, kStart);
  REQUIRE(want);
  CHECK_FALSE(pacer.idle("mail"));
  pacer.answered(*want, answer(200ms), kStart);
  CHECK_FALSE(pacer.idle("mail"));
  want = pacer.want("mail", 1, false, kStart + 200ms);
  REQUIRE(want);
  pacer.answered(*want, answer(std::nullopt), kStart + 200ms);
  CHECK(pacer.idle("mail"));
}

TEST_CASE("limited pacer: what was announced during a walk makes another one due") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  p.pacer.woken(kStart + 1ms);
  p.pacer.answered(want, answer(std::nullopt), kStart + 2ms);
  CHECK(p.pacer.due("mail") == kStart + 2ms);
}

TEST_CASE("limited pacer: permits are handed over without a walk while jobs wait") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  CHECK_FALSE(p.pacer.want("mail", 10, false, kStart + 1ms));
  const auto want = p.pacer.want("mail", 10, true, kStart + 1ms);
  REQUIRE(want);
  CHECK_FALSE(want->walk());
  p.pacer.answered(*want, answer(std::nullopt), kStart + 2ms);
  CHECK(p.pacer.due("mail") == kStart + 200ms);  // nobody walked: the plan of before holds
}

TEST_CASE("limited pacer: permits that went to nobody are worth a walk at once") {
  Paced p;
  p.pacer.answered(p.walk(kStart), answer(200ms), kStart);
  p.pacer.walk_now("mail", kStart + 10ms);
  CHECK(p.pacer.due("mail") == kStart + 10ms);
}

TEST_CASE("limited pacer: a refused walk is tried again after a while") {
  Paced p;
  const LimitedWant want = p.walk(kStart);
  p.pacer.refused(want, kStart);
  CHECK(p.pacer.due("mail") == kStart + 500ms);
}

TEST_CASE("limited pacer: shares of a queue's slots take turns with the odd one") {
  Paced p;
  CHECK(p.pacer.share("mail", 1) + p.pacer.share("mail", 1) == 1);
  CHECK(p.pacer.share("mail", 10) == 5);
}

}  // namespace
}  // namespace rowcrew
