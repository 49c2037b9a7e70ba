#include <rowcrew/provider_lane.hpp>

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;

constexpr Mono kStart{100h};
const ProviderVerdict kAnswered;
const ProviderVerdict kNoKey(Act::shut, "x_refuses_us", "x: no key");

ProviderVerdict wait_for(std::chrono::milliseconds time) {
  return {Act::wait, "x_rate_limited", "x: too many calls", time};
}

TEST_CASE("provider lane: an open one admits everybody, whatever single calls come to") {
  ProviderLane lane;
  for (const Act act : {Act::answered, Act::again, Act::fail}) {
    CHECK_FALSE(lane.admit(kStart));
    CHECK_FALSE(lane.tell({act, "x_http_500", "x"}, kStart));
  }
  CHECK_FALSE(lane.admit(kStart));
  CHECK(lane.why().empty());
}

TEST_CASE("provider lane: nobody calls for as long as the provider said, then one does, then all") {
  ProviderLane lane;
  CHECK(lane.tell(wait_for(10s), kStart));
  CHECK(lane.admit(kStart) == 10s);
  CHECK(lane.admit(kStart + 9999ms) == 1ms);
  CHECK(lane.why() == "x_rate_limited");
  CHECK_FALSE(lane.admit(kStart + 10s));  // the one
  CHECK(lane.admit(kStart + 10s) == ProviderLane::kTrial);
  CHECK_FALSE(lane.tell(kAnswered, kStart + 11s));
  CHECK_FALSE(lane.admit(kStart + 11s));
  CHECK_FALSE(lane.admit(kStart + 11s));
  CHECK(lane.why().empty());
}

TEST_CASE("provider lane: the first call of a closed lane that never comes back does not close it for ever") {
  ProviderLane lane;
  lane.tell(wait_for(10s), kStart);
  CHECK_FALSE(lane.admit(kStart + 10s));
  CHECK_FALSE(lane.admit(kStart + 10s + ProviderLane::kTrial));
  lane.forget();
  CHECK_FALSE(lane.admit(kStart + 11s));
}

TEST_CASE("provider lane: while the first call takes its time others follow it ever more slowly") {
  ProviderLane lane;
  lane.tell(wait_for(10s), kStart);
  Mono now = kStart + 10s;
  std::vector<std::chrono::milliseconds> apart;
  for (int i = 0; i < 7; ++i) {
    CHECK_FALSE(lane.admit(now));
    apart.push_back(*lane.admit(now));
    now += apart.back();
  }
  CHECK(apart == std::vector<std::chrono::milliseconds>{1s, 2s, 4s, 8s, 16s, 16s, 16s});
  lane.tell(kAnswered, now);
  lane.tell(wait_for(10s), now);
  CHECK_FALSE(lane.admit(now + 10s));
  CHECK(lane.admit(now + 10s) == ProviderLane::kTrial);
}

TEST_CASE("provider lane: calls that were in flight when it closed neither open it nor close it for longer") {
  ProviderLane lane;
  CHECK(lane.tell(kNoKey, kStart));
  CHECK_FALSE(lane.tell(kAnswered, kStart + 1s));
  CHECK_FALSE(lane.tell(kNoKey, kStart + 2s));
  CHECK(lane.admit(kStart + 3s) == ProviderLane::kFirstShut - 3s);
}

TEST_CASE("provider lane: a longer wait that comes meanwhile holds, a shorter one does not") {
  ProviderLane lane;
  lane.tell(wait_for(10s), kStart);
  lane.tell(wait_for(30s), kStart + 1s);
  lane.tell(wait_for(1s), kStart + 1s);
  CHECK(lane.admit(kStart + 1s) == 30s);
}

TEST_CASE("provider lane: what stays broken is tried ever more rarely, and said once") {
  ProviderLane lane;
  Mono now = kStart;
  std::vector<std::chrono::milliseconds> closed;
  int said = 0;
  for (int i = 0; i < 8; ++i) {
    CHECK_FALSE(lane.admit(now));
    said += lane.tell(kNoKey, now) ? 1 : 0;
    closed.push_back(*lane.admit(now));
    now += closed.back();
  }
  CHECK(closed == std::vector<std::chrono::milliseconds>{30s, 60s, 120s, 240s, 480s, 900s, 900s, 900s});
  CHECK(said == 1);
  lane.admit(now);
  CHECK(lane.tell(wait_for(5s), now));  // for another reason
  lane.admit(now + 5s);
  lane.tell(kAnswered, now + 6s);
  CHECK(lane.tell(kNoKey, now + 7s));
  CHECK(lane.admit(now + 7s) == ProviderLane::kFirstShut);
}

TEST_CASE("provider lane: an absurd wait ends, an absent one has a length") {
  ProviderLane lane;
  lane.tell(wait_for(std::chrono::hours(24 * 365)), kStart);
  CHECK(lane.admit(kStart) == ProviderLane::kLongestWait);
  ProviderLane other;
  other.tell(wait_for(-5s), kStart);
  CHECK(other.admit(kStart) == 1ms);
}

TEST_CASE("provider verdict: what closes a lane costs its job no attempt") {
  CHECK_FALSE(outcome_of(kAnswered, 1s));
  CHECK(std::get<Snooze>(*outcome_of(kNoKey, 30s)).after == 30s);
  CHECK(std::get<Snooze>(*outcome_of(wait_for(10s), 10s)).reason == "x: too many calls");
  const ProviderVerdict again(Act::again, "x_http_503", "x", 7s);
  CHECK(std::get<Retry>(*outcome_of(again, 1s)).after == 7s);
  const ProviderVerdict never(Act::fail, "x_http_422", "x");
  CHECK(std::get<Failed>(*outcome_of(never, 1s)).code == "x_http_422");
}

Act act_of(int status) {
  HttpResponse response;
  response.status = status;
  return judge_status("x", response, {}).act;
}

TEST_CASE("provider verdict: a status says what may help") {
  for (const int status : {200, 201, 204, 299}) CHECK(act_of(status) == Act::answered);
  for (const int status : {401, 402, 403}) CHECK(act_of(status) == Act::shut);
  for (const int status : {408, 409, 425, 500, 502, 503, 504, 529}) CHECK(act_of(status) == Act::again);
  for (const int status : {301, 400, 404, 413, 422}) CHECK(act_of(status) == Act::fail);
  HttpResponse busy;
  busy.status = 429;
  CHECK(judge_status("x", busy, {}).wait == 60s);
  busy.headers.emplace_back("Retry-After", "7");
  CHECK(judge_status("x", busy, {}).wait == 7s);
  CHECK(judge_status("x", busy, {}).code == "x_rate_limited");
}

TEST_CASE("provider verdict: a provider's words fit a row and a line of the log") {
  CHECK(provider_words("bad\nsize\x01") == "bad size ");
  CHECK(provider_words(std::string(1000, 'a')).size() == 300);
  CHECK(provider_words("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(provider_words("caf\xE9!") == "caf!");
  CHECK(provider_words(std::string(299, 'a') + "\xC3\xA9") == std::string(299, 'a'));
}

}  // namespace
}  // namespace rowcrew
