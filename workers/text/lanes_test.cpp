#include "lanes.hpp"

#include <doctest/doctest.h>

namespace rowcrew::text {
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;

constexpr Mono kStart{100h};
const ProviderVerdict kAnswered;
const ProviderVerdict kWait(Act::wait, "x_rate_limited", "x", 10s);
const ProviderVerdict kGone(Act::shut, "x_model_unknown", "x");
const ProviderVerdict kNoKey(Act::shut, "x_refuses_us", "x");

TEST_CASE("text lanes: what is of a model closes that model, what is of the account all of them") {
  Lanes lanes;
  CHECK_FALSE(lanes.admit("a", kStart));
  CHECK(lanes.tell("a", kWait, kStart));
  CHECK(lanes.admit("a", kStart) == 10s);
  CHECK(lanes.why("a") == "x_rate_limited");
  CHECK_FALSE(lanes.admit("b", kStart));
  CHECK(lanes.why("b").empty());
  CHECK(lanes.tell("b", kGone, kStart));
  CHECK(lanes.admit("b", kStart) == ProviderLane::kFirstShut);
  CHECK_FALSE(lanes.admit("c", kStart));
  CHECK(lanes.tell("c", kNoKey, kStart));
  CHECK(lanes.admit("d", kStart) == ProviderLane::kFirstShut);
  CHECK(lanes.why("a") == "x_refuses_us");
}

TEST_CASE("text lanes: one that may try and meets a closed model leaves its turn to another") {
  Lanes lanes;
  lanes.admit("a", kStart);
  lanes.tell("a", ProviderVerdict(Act::wait, "x_overloaded", "x", 1h), kStart);
  lanes.admit("b", kStart);
  lanes.tell("b", kNoKey, kStart);
  const Mono later = kStart + ProviderLane::kFirstShut;
  CHECK(lanes.admit("a", later) == 1h - ProviderLane::kFirstShut);
  CHECK_FALSE(lanes.admit("b", later));
  CHECK(lanes.admit("c", later) == ProviderLane::kTrial);
  CHECK_FALSE(lanes.tell("b", kAnswered, later + 1s));
  CHECK_FALSE(lanes.admit("c", later + 1s));
}

TEST_CASE("text lanes: a trial of the account that meets a limit of its model opens the account") {
  Lanes lanes;
  lanes.admit("a", kStart);
  lanes.tell("a", kNoKey, kStart);
  const Mono later = kStart + ProviderLane::kFirstShut;
  CHECK_FALSE(lanes.admit("a", later));
  CHECK(lanes.tell("a", kWait, later));
  CHECK_FALSE(lanes.admit("b", later));
  CHECK(lanes.admit("a", later) == 10s);
}

TEST_CASE("text lanes: a trial that is given up lets the next one try at once") {
  Lanes lanes;
  lanes.admit("a", kStart);
  lanes.tell("a", kNoKey, kStart);
  const Mono later = kStart + ProviderLane::kFirstShut;
  CHECK_FALSE(lanes.admit("a", later));
  lanes.forget("a");
  CHECK_FALSE(lanes.admit("b", later));
}

}  // namespace
}  // namespace rowcrew::text
