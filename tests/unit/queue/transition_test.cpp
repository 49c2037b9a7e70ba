#include "queue/transition.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include <rowcrew/db_error.hpp>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Kind = Ending::Kind;

Job a_job(int attempt, int max_attempts) {
  Job job;
  job.attempt = attempt;
  job.max_attempts = max_attempts;
  return job;
}

Ending ended(const Job& job, const Outcome& outcome) {
  return decide(job, outcome, RetryPolicy{.base = 1s, .cap = 1min}, 0.5);
}

TEST_CASE("transition: a completed job keeps its result and has used an attempt") {
  const Ending e = ended(a_job(5, 5), Completed(R"({"n":1})"));
  CHECK(e.kind == Kind::completed);
  CHECK(e.status == "completed");
  CHECK(e.result == R"({"n":1})");
  CHECK(e.code.empty());
  CHECK(e.message.empty());
  CHECK(e.delay == 0ms);
  CHECK(e.counts);
}

TEST_CASE("transition: a retry waits as the policy says, or as the handler says") {
  const Ending by_policy = ended(a_job(3, 5), Retry("http_503", "busy"));
  CHECK(by_policy.kind == Kind::retry);
  CHECK(by_policy.status == "retrying");
  CHECK(by_policy.code == "http_503");
  CHECK(by_policy.message == "busy");
  CHECK(by_policy.delay == 2s);  // half of 1 s doubled twice
  CHECK(by_policy.counts);

  CHECK(ended(a_job(1, 5), Retry("http_429", "later", 90s)).delay == 90s);
}

TEST_CASE("transition: a retry of the last attempt fails with its code") {
  for (const int attempt : {5, 6}) {  // 6: max_attempts was lowered meanwhile
    const Ending e = ended(a_job(attempt, 5), Retry("http_503", "busy", 90s));
    CHECK(e.kind == Kind::failed);
    CHECK(e.status == "failed");
    CHECK(e.code == "http_503");
    CHECK(e.message == "busy");
    CHECK(e.delay == 0ms);
    CHECK(e.counts);
  }
  CHECK(ended(a_job(1, 1), Retry("x", "")).status == "failed");
  CHECK(ended(a_job(4, 5), Retry("x", "")).status == "retrying");
}

TEST_CASE("transition: a snooze gives the attempt back and keeps the state of waiting") {
  const Ending first = ended(a_job(1, 1), Snooze(30s, "not yet"));
  CHECK(first.kind == Kind::snooze);
  CHECK(first.status == "pending");
  CHECK(first.delay == 30s);
  CHECK(first.message == "not yet");
  CHECK_FALSE(first.counts);
  CHECK(ended(a_job(2, 5), Snooze(30s)).status == "retrying");
}

TEST_CASE("transition: failed and cancelled are final whatever attempts are left") {
  const Ending failed = ended(a_job(1, 5), Failed("bad_payload", "url: missing"));
  CHECK(failed.kind == Kind::failed);
  CHECK(failed.status == "failed");
  CHECK(failed.code == "bad_payload");
  CHECK(failed.message == "url: missing");
  CHECK(failed.counts);

  const Ending cancelled = ended(a_job(1, 5), Cancelled("no longer wanted"));
  CHECK(cancelled.kind == Kind::cancelled);
  CHECK(cancelled.status == "cancelled");
  CHECK(cancelled.code == "cancelled");
  CHECK(cancelled.message == "no longer wanted");
}

TEST_CASE("transition: a released job is due at once with its attempt back") {
  const Ending e = released(a_job(1, 5));
  CHECK(e.kind == Kind::released);
  CHECK(e.status == "pending");
  CHECK(e.delay == 0ms);
  CHECK(e.code.empty());
  CHECK_FALSE(e.counts);
  CHECK(released(a_job(3, 5)).status == "retrying");
}

TEST_CASE("transition: a delay stays within what the database can add to its clock") {
  CHECK(ended(a_job(1, 5), Retry("x", "", -5s)).delay == 0ms);
  CHECK(ended(a_job(1, 5), Snooze(-1ms)).delay == 0ms);
  const auto longest = Ending::kLongestDelay;
  CHECK(ended(a_job(1, 5), Retry("x", "", std::chrono::milliseconds::max())).delay == longest);
  CHECK(ended(a_job(1, 5), Snooze(std::chrono::milliseconds::max())).delay == longest);
}

TEST_CASE("transition: a message is cut at a character, never inside one") {
  const std::size_t limit = Ending::kMaxMessageBytes;
  const auto stored = [](std::string text) {
    return ended(a_job(1, 5), Failed("x", std::move(text))).message;
  };
  CHECK(stored(std::string(limit, 'a')).size() == limit);
  CHECK(stored(std::string(limit + 1, 'a')).size() == limit);
  for (std::size_t before = limit - 4; before <= limit; ++before) {
    for (const std::string letter : {"é", "€", "😀"}) {
      const std::string plain(before, 'a');
      const std::string fits = before + letter.size() <= limit ? plain + letter : plain;
      const std::string cut = stored(plain + letter + letter);
      CAPTURE(before);
      CAPTURE(letter);
      CHECK(cut.substr(0, fits.size()) == fits);
      CHECK(cut.size() <= limit);
      CHECK((cut.size() - before) % letter.size() == 0);
    }
  }
}

TEST_CASE(
    "transition: what PostgreSQL's text cannot hold is taken out of the message and the code") {
  using namespace std::string_literals;
  const Ending e = ended(a_job(1, 5), Retry("a\0b"s, "one\0two \xff\xfe caf\xc3\xa9 \xc3"s));
  CHECK(e.code == "ab");
  CHECK(e.message == "onetwo \uFFFD\uFFFD caf\u00e9 \uFFFD");
  CHECK(ended(a_job(1, 5), Cancelled("a\0b"s)).message == "ab");
  CHECK(ended(a_job(1, 5), Snooze(1s, "a\0b"s)).message == "ab");
  // Overlong, surrogate, beyond Unicode: refused by the server as well.
  CHECK(ended(a_job(1, 5), Failed("x", "\xc0\x80")).message == "\uFFFD\uFFFD");
  CHECK(ended(a_job(1, 5), Failed("x", "\xed\xa0\x80")).message == "\uFFFD\uFFFD\uFFFD");
  CHECK(ended(a_job(1, 5), Failed("x", "\xf4\x90\x80\x80!")).message ==
        "\uFFFD\uFFFD\uFFFD\uFFFD!");
}

TEST_CASE("transition: replaced bytes do not carry a message beyond its limit") {
  const Ending e = ended(a_job(1, 5), Failed("x", std::string(Ending::kMaxMessageBytes, '\xff')));
  CHECK(e.message.size() <= Ending::kMaxMessageBytes);
  CHECK(e.message.size() % 3 == 0);
}

TEST_CASE("transition: the attempt log has a word for every ending") {
  CHECK(outcome_word(Kind::completed) == "completed");
  CHECK(outcome_word(Kind::retry) == "retry");
  CHECK(outcome_word(Kind::snooze) == "snooze");
  CHECK(outcome_word(Kind::failed) == "failed");
  CHECK(outcome_word(Kind::cancelled) == "cancelled");
  CHECK(outcome_word(Kind::released) == "released");
}

TEST_CASE("transition: a database that was not there costs no attempt; one lost under a statement does") {
  const auto judged = [](const char* state, bool lost) {
    bool is_bug = true;
    const Outcome outcome =
        outcome_of(std::make_exception_ptr(DbError(ErrorClass::transient, state, "away", lost, false)), is_bug);
    CHECK_FALSE(is_bug);
    return outcome;
  };
  for (const char* state : {"08001", "53300", "25006"}) {
    const Outcome outcome = judged(state, true);
    REQUIRE(std::holds_alternative<Snooze>(outcome));
    CHECK(std::get<Snooze>(outcome).after == 1s);
  }
  CHECK(std::holds_alternative<Retry>(judged("", true)));
  CHECK(std::holds_alternative<Retry>(judged("25006", false)));  // somebody's own READ ONLY transaction
}

TEST_CASE("transition: a node that has no process left costs no attempt; a program that would not start does") {
  bool is_bug = true;
  const auto judged = [&](const char* code) { return outcome_of(std::make_exception_ptr(TransientError(code, "child: shim: no more")), is_bug); };
  const Outcome shortage = judged("child_shortage");
  CHECK_FALSE(is_bug);
  REQUIRE(std::holds_alternative<Snooze>(shortage));
  CHECK(std::get<Snooze>(shortage).after == 1s);
  CHECK(std::holds_alternative<Retry>(judged("child_spawn")));
}

TEST_CASE("transition: an exception is judged by its class") {
  const auto judged = [](auto error, bool& is_bug) {
    return outcome_of(std::make_exception_ptr(error), is_bug);
  };
  bool is_bug = true;
  const Outcome permanent = judged(PermanentError("bad_payload", "no url"), is_bug);
  REQUIRE(std::holds_alternative<Failed>(permanent));
  CHECK(std::get<Failed>(permanent).code == "bad_payload");
  CHECK(std::get<Failed>(permanent).message == "no url");
  CHECK_FALSE(is_bug);

  const Outcome transient = judged(TransientError("http_timeout", "no answer"), is_bug);
  REQUIRE(std::holds_alternative<Retry>(transient));
  CHECK(std::get<Retry>(transient).code == "http_timeout");
  CHECK_FALSE(is_bug);

  const Outcome bug = judged(BugError("db_42703", "no such column"), is_bug);
  REQUIRE(std::holds_alternative<Retry>(bug));
  CHECK(std::get<Retry>(bug).code == "db_42703");
  CHECK(is_bug);

  for (const auto& error : {std::make_exception_ptr(std::runtime_error("boom")), std::make_exception_ptr(42)}) {
    const Outcome unknown = outcome_of(error, is_bug);
    REQUIRE(std::holds_alternative<Retry>(unknown));
    CHECK(std::get<Retry>(unknown).code == "exception");
    CHECK_FALSE(std::get<Retry>(unknown).after);
    CHECK(is_bug);
  }
}

TEST_CASE("transition: a rule for the error code overrules what the handler says of it") {
  RetryPolicy policy{.base = 1s, .cap = 1min};
  policy.rules = std::make_shared<const RetryRules>(RetryRules{{"gone", {true, {}}}, {"busy", {false, {70ms}}}});
  const Ending permanent = decide(a_job(1, 5), Retry("gone", "m", 5s), policy, 0.5);
  CHECK(permanent.kind == Kind::failed);
  CHECK(permanent.code == "gone");
  const Ending again = decide(a_job(1, 5), Failed("busy", "m"), policy, 0.5);
  CHECK(again.kind == Kind::retry);
  CHECK(again.delay == 70ms);
  CHECK(decide(a_job(5, 5), Failed("busy", "m"), policy, 0.5).kind == Kind::failed);
  CHECK(decide(a_job(1, 5), Retry("busy", "m", 5s), policy, 0.5).delay == 5s);  // what the other side asked for
  CHECK(decide(a_job(1, 5), Failed("other", "m"), policy, 0.5).kind == Kind::failed);
}

TEST_CASE("transition: a retry that would begin too late fails instead, with its own code") {
  RetryPolicy policy{.base = 1s, .cap = 1min};
  policy.left = 3s;
  CHECK(decide(a_job(1, 5), Retry("x", "m", 3s), policy, 0.5).kind == Kind::retry);
  const Ending late = decide(a_job(1, 5), Retry("x", "m", 3'001ms), policy, 0.5);
  CHECK(late.kind == Kind::failed);
  CHECK(late.code == "x");
  CHECK(late.message == "m (the next execution would begin later than its job type allows)");
  policy.left = -1s;
  CHECK(decide(a_job(1, 5), Retry("x", "m", 0ms), policy, 0.5).kind == Kind::failed);
  CHECK(decide(a_job(1, 5), Snooze(1h), policy, 0.5).kind == Kind::snooze);
}

}  // namespace
}  // namespace rowcrew
