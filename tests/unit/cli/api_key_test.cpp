#include "cli/api_key.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include <rowcrew/error.hpp>

#include "base/system_clock.hpp"
#include "support/fake_clock.hpp"

using rowcrew::cli::make_api_key;
using rowcrew::cli::parse_job_types;

TEST_CASE("a key is its prefix and 43 characters of base64url") {
  rowcrew::testing::FakeRandom random({0, 0, 0, 1});
  CHECK(make_api_key(random) ==
        "rc_" + std::string(42, 'A') + "E");  // the last bit, then two zeros
  rowcrew::testing::FakeRandom ones({~0ULL, ~0ULL, ~0ULL, ~0ULL});
  CHECK(make_api_key(ones) == "rc_" + std::string(42, '_') + "8");
  rowcrew::testing::FakeRandom first({1ULL << 63, 0, 0, 0});
  CHECK(make_api_key(first) == "rc_g" + std::string(42, 'A'));
}

TEST_CASE("keys differ") {
  rowcrew::SystemRandom random;
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.insert(make_api_key(random));
  CHECK(keys.size() == 100);
}

TEST_CASE("job types come as a list with commas") {
  CHECK(parse_job_types("mail.send, report") == std::vector<std::string>{"mail.send", "report"});
  CHECK(parse_job_types("*") == std::vector<std::string>{"*"});
  for (const char* const list : {"", ",", "a,", "a b", "a,\x01"}) {
    CAPTURE(list);
    CHECK_THROWS_AS(parse_job_types(list), rowcrew::UsageError);
  }
  CHECK_THROWS_AS(parse_job_types(std::string(101, 'a')), rowcrew::UsageError);
}
