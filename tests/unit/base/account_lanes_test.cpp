#include <rowcrew/account_lanes.hpp>

#include <doctest/doctest.h>

#include "support/fake_clock.hpp"
#include "support/log_capture.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;

const ProviderVerdict kAnswered;
const ProviderVerdict kNoKey(Act::shut, "openai_refuses_us", "openai: refuses the key");
const ProviderVerdict kNoModel(Act::shut, "openai_model_unknown", "openai: no such model");
const ProviderVerdict kBusy(Act::wait, "openai_rate_limited", "openai: too many calls", 10s);

struct Scene {
  std::optional<Outcome> call(const std::string& model, const ProviderVerdict& verdict) {
    if (auto closed = lanes.closed(model)) return closed;
    return AccountLanes::Leave(lanes, model).tell(verdict);
  }
  std::chrono::milliseconds wait(const std::string& model) {
    const auto closed = lanes.closed(model);
    return closed ? std::get<Snooze>(*closed).after : 0ms;
  }
  testing::FakeClock clock;
  testing::LogCapture log;
  AccountLanes lanes{"openai", clock, log};
};

TEST_CASE("account lanes: a refused key stops every model, and is said once, as an error") {
  Scene scene;
  const auto outcome = scene.call("a", kNoKey);
  REQUIRE(outcome);
  CHECK(std::get<Snooze>(*outcome).after == ProviderLane::kFirstShut);
  CHECK(scene.wait("b") == ProviderLane::kFirstShut);
  scene.clock.advance(30s);
  scene.call("b", kNoKey);
  REQUIRE(scene.log.lines("provider.closed").size() == 1);
  const auto line = scene.log.lines("provider.closed")[0];
  CHECK(line.level == LogLevel::error);
  CHECK(line.field("provider") == "openai");
  CHECK(line.field("code") == "openai_refuses_us");
}

TEST_CASE("account lanes: a rate limit or a retired model stops that model alone") {
  for (const ProviderVerdict& verdict : {kBusy, kNoModel}) {
    Scene scene;
    scene.call("a", verdict);
    CHECK(scene.wait("a") > 0ms);
    CHECK_FALSE(scene.call("b", kAnswered));
    REQUIRE(scene.log.lines("provider.closed").size() == 1);
    CHECK(scene.log.lines("provider.closed")[0].field("model") == "a");
    CHECK((scene.log.lines("provider.closed")[0].level == LogLevel::warning) == (verdict.act == Act::wait));
  }
}

TEST_CASE("account lanes: when the wait is over one call goes first, and the log says that it is open again") {
  Scene scene;
  scene.call("a", kBusy);
  scene.clock.advance(10s);
  {
    CHECK_FALSE(scene.lanes.closed("a"));
    AccountLanes::Leave first(scene.lanes, "a");
    CHECK(scene.wait("a") == ProviderLane::kTrial);
    CHECK_FALSE(first.tell(kAnswered));
  }
  CHECK_FALSE(scene.lanes.closed("a"));
  CHECK(scene.log.lines("provider.opened").size() == 1);
}

TEST_CASE("account lanes: a call that tells nothing leaves its turn to the next") {
  Scene scene;
  scene.call("a", kNoKey);
  scene.clock.advance(30s);
  {
    CHECK_FALSE(scene.lanes.closed("a"));
    AccountLanes::Leave cancelled(scene.lanes, "a");
    CHECK(scene.wait("b") == ProviderLane::kTrial);
  }
  CHECK_FALSE(scene.lanes.closed("b"));
}

TEST_CASE("account lanes: a model that is closed does not use up the account's first call") {
  Scene scene;
  scene.call("a", kBusy);
  scene.call("b", kNoKey);
  scene.clock.advance(5s);
  CHECK(scene.wait("a") > 0ms);
  scene.clock.advance(25s);
  CHECK_FALSE(scene.lanes.closed("b"));
}

TEST_CASE("account lanes: a first call of the account that meets a limit of its model opens the account") {
  Scene scene;
  scene.call("a", kNoKey);
  scene.clock.advance(30s);
  scene.call("a", kBusy);
  CHECK_FALSE(scene.lanes.closed("b"));
  CHECK(scene.wait("a") == 10s);
}

TEST_CASE("account lanes: an overloaded model keeps nobody from another") {
  Scene scene;
  scene.call("a", ProviderVerdict(Act::wait, "anthropic_overloaded", "anthropic: overloaded", 15s));
  CHECK(scene.wait("a") == 15s);
  CHECK_FALSE(scene.lanes.closed("b"));
}

}  // namespace
}  // namespace rowcrew
