#include "paid_calls.hpp"

#include <doctest/doctest.h>

namespace rowcrew::generation {
namespace {

using Past = PaidCalls::Past;

Job job(std::int64_t claim, int crashes = 0) {
  Job some;
  some.claim_token = claim;
  some.crashes = crashes;
  return some;
}

PaidCalls again(const PaidCalls& calls) { return PaidCalls("openai", calls.to_json()); }

TEST_CASE("paid calls: a first execution finds nothing") {
  CHECK(PaidCalls("openai", "").past(job(1)) == Past::nothing);
  CHECK(PaidCalls("openai", "{}").past(job(1)) == Past::nothing);
  CHECK(PaidCalls("openai", "[1]").past(job(1)) == Past::nothing);
}

TEST_CASE("paid calls: an open call is found by the next execution, and whose it is") {
  PaidCalls calls("openai", "");
  calls.send(job(77));
  const PaidCalls found = again(calls);
  CHECK(found.past(job(78, 1)) == Past::sent);
  CHECK(found.claim == 77);
  CHECK(found.sent == 1);
}

TEST_CASE("paid calls: an answer is kept with its name and whether it was booked") {
  PaidCalls calls("openai", "");
  calls.send(job(77));
  calls.answer(job(77), "req_1");
  calls.booked = true;
  const PaidCalls found = again(calls);
  CHECK(found.past(job(78)) == Past::answered);
  CHECK(found.request_id == "req_1");
  CHECK(found.booked);
}

TEST_CASE("paid calls: a crash that nothing explains may have had a call open, one that was told of has not") {
  CHECK(PaidCalls("openai", "").past(job(78, 1)) == Past::unknown);
  PaidCalls calls("openai", "");
  calls.send(job(77));
  calls.close(job(77));
  CHECK(again(calls).past(job(78, 0)) == Past::nothing);
  CHECK(again(calls).past(job(78, 1)) == Past::unknown);
  calls.lose(job(78, 1));
  CHECK(again(calls).past(job(79, 1)) == Past::nothing);
  CHECK(again(calls).lost == 1);
}

TEST_CASE("paid calls: what another provider left is none of ours") {
  PaidCalls calls("gemini", "");
  calls.send(job(77));
  CHECK(PaidCalls("openai", calls.to_json()).past(job(78)) == Past::nothing);
}

}  // namespace
}  // namespace rowcrew::generation
