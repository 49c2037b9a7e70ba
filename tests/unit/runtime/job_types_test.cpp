#include "runtime/job_types.hpp"

#include <doctest/doctest.h>

#include <array>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

Rows policies(std::vector<std::vector<std::string>> rows) {
  Rows out(10);
  for (auto& row : rows) {
    row.resize(10, "");
    if (row[8].empty()) row[8] = "1048576";
    for (const std::string& cell : row) out.append(cell.empty() ? std::nullopt : std::optional<std::string_view>(cell));
  }
  return out;
}

Rows rules(const std::vector<std::array<const char*, 4>>& rows) {
  Rows out(4);
  for (const auto& row : rows) {
    for (const char* cell : row) out.append(cell);
  }
  return out;
}

TEST_CASE("job types: a type without a row has the defaults of the table") {
  const JobTypes types;
  const JobTypePolicy policy = types.policy("mail");
  CHECK(policy.timeout == 10min);
  CHECK(policy.retry.base == 5s);
  CHECK(policy.retry.cap == 1h);
}

TEST_CASE("job types: a type with a row has its own policy, until the row is gone") {
  JobTypes types;
  types.load(policies({{"mail", "30000", "100", "2000"}, {"photo", "900000", "5000", "60000"}}), Rows(4));
  CHECK(types.policy("mail").timeout == 30s);
  CHECK(types.policy("mail").retry.base == 100ms);
  CHECK(types.policy("mail").retry.cap == 2s);
  CHECK(types.policy("photo").timeout == 15min);
  CHECK(types.policy("other").timeout == 10min);
  types.load(policies({{"photo", "1000", "5000", "60000"}}), Rows(4));
  CHECK(types.policy("mail").timeout == 10min);
  CHECK(types.policy("photo").timeout == 1s);
}

TEST_CASE("job types: fixed delays, deadlines and the size of results are those of the row") {
  JobTypes types;
  types.load(policies({{"mail", "30000", "100", "2000", "100,250,1000", "60000", "5000", "90000", "10", "60000"}}), Rows(4));
  const JobTypePolicy policy = types.policy("mail");
  CHECK(policy.retry.delays == std::vector<std::chrono::milliseconds>{100ms, 250ms, 1s});
  CHECK(policy.needs_age());
  CHECK(policy.start_within == 5s);
  CHECK(policy.max_result == 10);
  CHECK(types.results_expire());
  CHECK(policy.timeout_at(0ms) == 30s);
  CHECK(policy.timeout_at(80s) == 10s);
  CHECK(policy.timeout_at(100s) == 0ms);
  CHECK(policy.retry_left_at(20s) == 40s);
  CHECK_FALSE(types.policy("other").needs_age());
  CHECK(types.policy("other").timeout_at(999h) == 10min);
  CHECK_FALSE(types.policy("other").retry_left_at(999h));
}

TEST_CASE("job types: rules for error codes, of every type and of one, which comes first") {
  JobTypes types;
  types.load(policies({{"photo", "1000", "5000", "60000"}}),
             rules({{"*", "gone", "t", ""}, {"*", "busy", "f", "50"}, {"mail", "busy", "f", "10,20"}, {"mail", "full", "t", ""}}));
  for (const char* type : {"photo", "other"}) {
    CHECK(types.policy(type).retry.rule("gone")->permanent);
    CHECK(types.policy(type).retry.delay(1, 0.5, "busy") == 50ms);
    CHECK(types.policy(type).retry.rule("full") == nullptr);
  }
  CHECK(types.policy("mail").retry.delay(2, 0.5, "busy") == 20ms);
  CHECK(types.policy("mail").retry.rule("gone")->permanent);
  CHECK(types.policy("mail").retry.rule("full")->permanent);
  types.load(policies({}), Rows(4));
  CHECK(types.policy("mail").retry.rule("gone") == nullptr);
}

}  // namespace
}  // namespace rowcrew
