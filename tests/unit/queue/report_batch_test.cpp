#include "queue/report_batch.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

using namespace std::chrono_literals;

TEST_CASE("report batch: grows while full ones are short, and shrinks when one takes long") {
  ReportBatch batch;
  const std::size_t first = batch.size();
  batch.written(first, 5ms);
  CHECK(batch.size() == 2 * first);
  batch.written(first, 5ms);  // not a full one: says nothing of those that are
  CHECK(batch.size() == 2 * first);
  batch.written(2 * first, 50ms);
  CHECK(batch.size() == 2 * first);
  batch.written(2 * first, 200ms);
  CHECK(batch.size() == first);
  for (int i = 0; i < 20; ++i) batch.written(batch.size(), 1ms);
  CHECK(batch.size() == 100);
}

TEST_CASE("report batch: after a refusal each by itself, and never none") {
  ReportBatch batch;
  batch.refused();
  CHECK(batch.size() == 1);
  batch.written(1, 1s);
  CHECK(batch.size() == 1);
  batch.written(1, 1ms);
  CHECK(batch.size() == 2);
}

TEST_CASE("report batch: takes the first of one sort together, and two executions of one job apart") {
  struct Item {
    int sort;
    std::string job;
  };
  ReportBatch batch;
  const auto together = [&](const std::vector<Item>& items) {
    return batch.together(items, [](const Item& i) { return i.sort; }, [](const Item& i) { return std::string_view(i.job); });
  };
  CHECK(together({}) == 0);
  CHECK(together({{1, "a"}, {1, "b"}, {2, "c"}, {1, "d"}}) == 2);
  CHECK(together({{1, "a"}, {1, "b"}, {1, "a"}, {1, "c"}}) == 2);
  CHECK(together(std::vector<Item>{{1, "a"}, {1, "b"}, {1, "c"}, {1, "d"}, {1, "e"}, {1, "f"}, {1, "g"}, {1, "h"}, {1, "i"}}) == 8);
  batch.refused();
  CHECK(together({{1, "a"}, {1, "b"}}) == 1);
}

}  // namespace rowcrew
