#include "runtime/job_types.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

Rows policies(std::vector<std::vector<std::string>> rows) {
  Rows out(4);
  for (const auto& row : rows) {
    for (const std::string& cell : row) out.append(cell);
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
  types.load(policies({{"mail", "30000", "100", "2000"}, {"photo", "900000", "5000", "60000"}}));
  CHECK(types.policy("mail").timeout == 30s);
  CHECK(types.policy("mail").retry.base == 100ms);
  CHECK(types.policy("mail").retry.cap == 2s);
  CHECK(types.policy("photo").timeout == 15min);
  CHECK(types.policy("other").timeout == 10min);
  types.load(policies({{"photo", "1000", "5000", "60000"}}));
  CHECK(types.policy("mail").timeout == 10min);
  CHECK(types.policy("photo").timeout == 1s);
}

}  // namespace
}  // namespace rowcrew
