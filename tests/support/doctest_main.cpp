#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <vector>

#include "support/at_end.hpp"

namespace rowcrew::testing {
namespace {

std::vector<std::function<void()>>& work_at_end() {
  static std::vector<std::function<void()>> work;
  return work;
}

}  // namespace

void at_end(std::function<void()> work) { work_at_end().push_back(std::move(work)); }

}  // namespace rowcrew::testing

int main(int argc, char** argv) {
  const int result = doctest::Context(argc, argv).run();
  auto& work = rowcrew::testing::work_at_end();
  for (auto item = work.rbegin(); item != work.rend(); ++item) (*item)();
  return result;
}
