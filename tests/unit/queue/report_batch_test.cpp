#include "queue/report_batch.hpp"

#include <doctest/doctest.h>

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

}  // namespace rowcrew
