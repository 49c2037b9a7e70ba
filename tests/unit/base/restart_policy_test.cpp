#include <doctest/doctest.h>

#include "base/service.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using Verdict = RestartPolicy::Verdict;

TEST_CASE("delays double from 100 ms; the fifth failure within a minute gives up") {
  RestartPolicy policy;
  const Mono t0{1h};
  for (const auto delay : {100ms, 200ms, 400ms, 800ms}) {
    const auto decision = policy.failed(t0 + delay, 1.0);
    CHECK(decision.verdict == Verdict::restart);
    CHECK(decision.delay == delay);
  }
  CHECK(policy.failed(t0 + 59s, 1.0).verdict == Verdict::give_up);
}

TEST_CASE("a failure that is a minute old does not count any more") {
  RestartPolicy policy;
  const Mono t0{1h};
  for (const auto at : {0s, 1s, 2s, 3s}) {
    CHECK(policy.failed(t0 + at, 0.5).verdict == Verdict::restart);
  }
  CHECK(policy.failed(t0 + 60s, 0.5).verdict == Verdict::restart);
  CHECK(policy.failed(t0 + 60s + 999ms, 0.5).verdict == Verdict::give_up);
}

TEST_CASE("a service that keeps failing slowly waits up to ten seconds, never longer") {
  RestartPolicy policy;
  Mono now{1h};
  std::chrono::milliseconds last{0};
  for (int i = 0; i < 40; ++i) {
    const auto decision = policy.failed(now, 1.0);
    REQUIRE(decision.verdict == Verdict::restart);
    last = decision.delay;
    now += 30s;
  }
  CHECK(last == 10s);
}

TEST_CASE("a minute without failure starts the delays over") {
  RestartPolicy policy;
  const Mono t0{1h};
  policy.failed(t0, 1.0);
  policy.failed(t0 + 1s, 1.0);
  CHECK(policy.failed(t0 + 61s, 1.0).delay == 100ms);
}

TEST_CASE("the jitter is full: from nothing to the whole delay") {
  CHECK(RestartPolicy{}.failed(Mono{}, 0.0).delay == 0ms);
  CHECK(RestartPolicy{}.failed(Mono{}, 0.25).delay == 25ms);
}
