#include "queue/claim_pacer.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr Mono kStart{1h};

struct Paced {
  Paced() : pacer(ClaimPacer::Options{}, {"mail", "photo"}) {}

  /// One claim of everything, answered `took` later.
  void claim(Mono now, std::size_t mail, std::size_t photo, MonoClock::duration took = {}) {
    answer(pacer.started(), now + took, mail, photo);
  }
  void answer(ClaimPacer::Moment sent, Mono now, std::size_t mail, std::size_t photo) {
    const std::vector<ClaimPacer::Answer> answers{{"mail", 10, mail}, {"photo", 4, photo}};
    pacer.claimed(sent, now, answers, 0.5);
  }
  ClaimPacer pacer;
};

TEST_CASE("claim pacer: looks at once when it starts, because anything may wait") {
  Paced p;
  CHECK(p.pacer.due() <= kStart);
  CHECK_FALSE(p.pacer.idle());
  p.pacer.started();
  CHECK(p.pacer.due() == Mono::max());
}

TEST_CASE(
    "claim pacer: an empty answer rests for the poll, jittered between a half and the whole") {
  const std::vector<ClaimPacer::Answer> nothing{{"mail", 10, 0}, {"photo", 4, 0}};
  for (const auto& [unit, rest] : {std::pair{0.0, 1'000ms}, {0.5, 1'500ms}, {0.999, 1'999ms}}) {
    Paced p;
    const auto sent = p.pacer.started();
    p.pacer.claimed(sent, kStart, nothing, unit);
    CHECK(p.pacer.due() == kStart + rest);
    CHECK(p.pacer.idle());
  }
}

TEST_CASE("claim pacer: a full answer means that more may wait: again at once") {
  Paced p;
  p.claim(kStart, 10, 0);
  CHECK(p.pacer.due() == kStart);
  CHECK_FALSE(p.pacer.idle());
  p.claim(kStart + 1ms, 9, 3);
  CHECK(p.pacer.due() == kStart + 1ms + 1'500ms);
  CHECK(p.pacer.idle());
}

TEST_CASE("claim pacer: a queue that is paused, and not asked for, does not keep it from resting") {
  Paced p;
  const std::vector<ClaimPacer::Answer> nothing{{"mail", 10, 0}};
  const auto sent = p.pacer.started();
  p.pacer.claimed(sent, kStart, nothing, 0.5);
  CHECK_FALSE(p.pacer.idle());
  CHECK_FALSE(p.pacer.idle({"mail"}));
  CHECK(p.pacer.idle({"photo"}));
  p.pacer.woken(kStart);
  CHECK_FALSE(p.pacer.idle({"photo"}));
}

TEST_CASE("claim pacer: the answer of a slow claim starts no other where a later one has seen to what was announced") {
  Paced p;
  const auto slow = p.pacer.started();
  p.pacer.woken(kStart + 10ms);
  p.claim(kStart + 10ms, 1, 0, 1ms);
  const Mono rest = p.pacer.due();
  CHECK(rest == kStart + 11ms + 1'500ms);
  p.answer(slow, kStart + 30ms, 0, 0);
  CHECK(p.pacer.due() >= rest);
}

TEST_CASE("claim pacer: what was announced during a claim is looked for where the later one asked for another queue") {
  Paced p;
  const auto slow = p.pacer.started();
  p.pacer.woken(kStart + 10ms);
  const std::vector<ClaimPacer::Answer> photo{{"photo", 4, 1}};
  p.pacer.claimed(p.pacer.started(), kStart + 11ms, photo, 0.5);
  p.answer(slow, kStart + 30ms, 0, 0);
  CHECK(p.pacer.due() == kStart + 30ms);
  CHECK_FALSE(p.pacer.idle());
}

TEST_CASE("claim pacer: a notification ends the rest") {
  Paced p;
  p.claim(kStart, 0, 0);
  p.pacer.woken(kStart + 200ms);
  CHECK(p.pacer.due() == kStart + 200ms);
  CHECK_FALSE(p.pacer.idle());
  p.claim(kStart + 200ms, 1, 0);
  CHECK(p.pacer.due() == kStart + 1'700ms);
}

TEST_CASE("claim pacer: a notification that comes while a claim is under way is not lost") {
  Paced p;
  const auto sent = p.pacer.started();
  p.pacer.woken(kStart + 1ms);  // the claim's snapshot may be older than the job announced
  p.answer(sent, kStart + 5ms, 0, 0);
  CHECK(p.pacer.due() == kStart + 5ms);
  CHECK_FALSE(p.pacer.idle());
  p.claim(kStart + 5ms, 0, 0, 2ms);
  CHECK(p.pacer.due() == kStart + 7ms + 1'500ms);
  CHECK(p.pacer.idle());
}

TEST_CASE("claim pacer: a notification before a claim is answered by that claim") {
  Paced p;
  p.claim(kStart, 0, 0);
  p.pacer.woken(kStart + 1ms);
  p.claim(kStart + 2ms, 0, 0);
  CHECK(p.pacer.due() == kStart + 2ms + 1'500ms);
}

TEST_CASE("claim pacer: a freed slot is worth a claim only where work may be left") {
  Paced p;
  p.claim(kStart, 10, 0);  // mail was full, photo empty
  const std::vector<ClaimPacer::Answer> photo_only{{"photo", 4, 1}};
  const auto sent = p.pacer.started();
  p.pacer.claimed(sent, kStart, photo_only, 0.5);  // no slot of mail was free to ask for
  CHECK(p.pacer.due() == kStart + 1'500ms);
  CHECK_FALSE(p.pacer.idle());
  p.pacer.slot_freed("photo", kStart + 10ms);
  CHECK(p.pacer.due() == kStart + 1'500ms);
  p.pacer.slot_freed("mail", kStart + 10ms);
  CHECK(p.pacer.due() == kStart + 10ms);
  p.pacer.slot_freed("unheard_of", kStart + 10ms);
}

TEST_CASE("claim pacer: a slot freed while a claim of others is under way is not lost") {
  Paced p;
  p.claim(kStart, 10, 0);
  const std::vector<ClaimPacer::Answer> photo_only{{"photo", 4, 1}};
  const auto sent = p.pacer.started();
  p.pacer.slot_freed("mail", kStart + 1ms);
  p.pacer.claimed(sent, kStart + 2ms, photo_only, 0.5);
  CHECK(p.pacer.due() == kStart + 2ms);
}

TEST_CASE("claim pacer: a slot that was free when a later claim was sent asks for no more") {
  Paced p;
  p.claim(kStart, 10, 0);
  p.pacer.slot_freed("mail", kStart + 1ms);
  p.claim(kStart + 1ms, 10, 0);
  const std::vector<ClaimPacer::Answer> photo_only{{"photo", 4, 1}};
  p.pacer.claimed(p.pacer.started(), kStart + 2ms, photo_only, 0.5);
  CHECK(p.pacer.due() == kStart + 2ms + 1'500ms);

  SUBCASE("and hides no announcement") {
    const auto sent = p.pacer.started();
    p.pacer.woken(kStart + 3ms);
    p.answer(sent, kStart + 4ms, 0, 0);
    CHECK(p.pacer.due() == kStart + 4ms);
  }
}

TEST_CASE("claim pacer: a queue that was empty and then filled a claim may hold more") {
  Paced p;
  p.claim(kStart, 0, 0);
  p.claim(kStart + 2s, 10, 0);
  CHECK_FALSE(p.pacer.idle());
}

TEST_CASE("claim pacer: a job that ends before its claim is answered for asks for no second one") {
  Paced p;
  const auto sent = p.pacer.started();
  p.pacer.slot_freed("mail", kStart + 1ms);  // that of a job that took no time
  p.answer(sent, kStart + 2ms, 1, 0);
  CHECK(p.pacer.due() == kStart + 2ms + 1'500ms);
  CHECK(p.pacer.idle());
}

TEST_CASE("claim pacer: a queue that was not asked for keeps its backlog") {
  Paced p;
  const auto sent = p.pacer.started();
  p.pacer.claimed(sent, kStart, {}, 0.5);
  CHECK(p.pacer.due() == kStart + 1'500ms);
  CHECK_FALSE(p.pacer.idle());
}

TEST_CASE("claim pacer: what is announced asks for one claim, not for one on each connection") {
  Paced p;
  p.claim(kStart, 0, 0);
  p.pacer.woken(kStart + 1ms);
  const auto sent = p.pacer.started();
  CHECK(p.pacer.due() == Mono::max());
  p.pacer.woken(kStart + 2ms);  // what is announced meanwhile may be claimed meanwhile
  CHECK(p.pacer.due() == kStart + 2ms);
  p.answer(sent, kStart + 3ms, 10, 0);
  p.pacer.started();
  CHECK(p.pacer.due() == kStart + 3ms);  // where the last answer was full, another beside it
}

TEST_CASE("claim pacer: an announcement that one of two claims answered is not lost to the other") {
  Paced p;
  const auto first = p.pacer.started();
  const auto second = p.pacer.started();
  p.pacer.woken(kStart + 1ms);
  p.answer(first, kStart + 2ms, 10, 0);
  p.answer(second, kStart + 3ms, 0, 0);  // sent before the announcement, too
  CHECK(p.pacer.due() == kStart + 3ms);
  CHECK_FALSE(p.pacer.idle());
}

TEST_CASE("claim pacer: an old empty answer does not forget what a later claim found") {
  Paced p;
  const auto first = p.pacer.started();
  const auto second = p.pacer.started();
  p.answer(second, kStart + 1ms, 10, 0);
  p.answer(first, kStart + 2ms, 0, 0);
  CHECK(p.pacer.due() == kStart + 2ms);
  p.pacer.slot_freed("mail", kStart + 3ms);
  CHECK_FALSE(p.pacer.idle());
}

TEST_CASE("claim pacer: failures back off, doubling with jitter up to the cap") {
  Paced p;
  std::vector<std::int64_t> waits;
  Mono now = kStart;
  for (int i = 0; i < 8; ++i) {
    p.pacer.started();
    p.pacer.failed(now, 0.0);
    waits.push_back((p.pacer.due() - now) / 1ms);
    now = p.pacer.due();
  }
  CHECK(waits == std::vector<std::int64_t>{50, 100, 200, 400, 800, 1'600, 2'500, 2'500});
  for (int i = 0; i < 100; ++i) p.pacer.failed(now, 0.999);
  CHECK(p.pacer.due() - now < 5s);
  CHECK(p.pacer.due() - now > 4'990ms);
}

TEST_CASE(
    "claim pacer: after a failure neither a notification nor a slot cuts the back-off short") {
  Paced p;
  p.pacer.failed(kStart, 0.0);
  p.pacer.woken(kStart + 1ms);
  CHECK(p.pacer.due() == kStart + 50ms);
  p.pacer.slot_freed("mail", kStart + 2ms);
  CHECK(p.pacer.due() == kStart + 50ms);
  p.pacer.woken(kStart + 60ms);
  CHECK(p.pacer.due() == kStart + 50ms);  // due already
}

TEST_CASE("claim pacer: once the cause of the failures is out of the way the next claim is due at once") {
  Paced p;
  for (int i = 0; i < 6; ++i) p.pacer.failed(kStart, 0.0);
  p.pacer.mended(kStart + 10ms);
  CHECK(p.pacer.due() == kStart + 10ms);
  p.pacer.failed(kStart + 20ms, 0.0);
  CHECK(p.pacer.due() == kStart + 70ms);
}

TEST_CASE("claim pacer: a success forgets the failures") {
  Paced p;
  for (int i = 0; i < 6; ++i) p.pacer.failed(kStart, 0.0);
  p.claim(kStart + 10ms, 0, 0);
  p.pacer.woken(kStart + 20ms);
  CHECK(p.pacer.due() == kStart + 20ms);
  p.pacer.failed(kStart + 20ms, 0.0);
  CHECK(p.pacer.due() == kStart + 70ms);
}

}  // namespace
}  // namespace rowcrew
