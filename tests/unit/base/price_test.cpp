#include <rowcrew/price.hpp>

#include <doctest/doctest.h>

#include <limits>

#include <rowcrew/error.hpp>
#include "scratch_dir.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew {
namespace {

std::int64_t price_of(const std::string& text) {
  return read_price(testing::settings_from("kinds:\n  x:\n    input: \"" + text + "\"\n").section("kinds").section("x"), "input");
}

TEST_CASE("price: decimals are exact to a millionth") {
  CHECK(price_of("5") == 5'000'000);
  CHECK(price_of("0.15") == 150'000);
  CHECK(price_of("0.000001") == 1);
  CHECK(price_of("0") == 0);
  CHECK(price_of("1000000.000000") == 1'000'000'000'000);
}

TEST_CASE("price: what is no price is refused with the name of the key") {
  for (const char* text : {"-1", ".5", "5.", "1.2.3", "1,5", "5 USD", "1e3", "0.0000001", "1000001", "99999999999999999999999"}) {
    CAPTURE(text);
    const std::string sentence = testing::sentence_of<ConfigError>([&] { price_of(text); });
    CHECK(sentence.starts_with("kinds.x.input: "));
  }
}

TEST_CASE("price: one that is not configured is what the caller says") {
  const Settings empty = testing::settings_from("kinds: {}").section("kinds");
  CHECK(read_price(empty, "input", 7) == 7);
}

TEST_CASE("cost: parts are added before they are rounded, once") {
  Cost cost;
  for (int i = 0; i < 10; ++i) cost.add(1, 150'000);  // 0.15 micros each
  CHECK(cost.micros() == 2);
  cost.add(50, 5'000'000);
  cost.add(4160, 30'000'000);
  CHECK(cost.micros() == 2 + 250 + 124'800);
  cost.add(-5, 5'000'000);
  CHECK(cost.micros() == 125'052);
}

TEST_CASE("cost: absurd counts end at a number that a row can hold") {
  Cost cost;
  cost.add(std::numeric_limits<std::int64_t>::max(), 1'000'000'000'000);
  CHECK(cost.micros() == std::numeric_limits<std::int64_t>::max() - 1);
  cost.add(1, 1'000'000);
  CHECK(cost.micros() == std::numeric_limits<std::int64_t>::max() - 1);
}

}  // namespace
}  // namespace rowcrew
