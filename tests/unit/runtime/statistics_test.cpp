#include "runtime/statistics.hpp"

#include <doctest/doctest.h>

#include <climits>

namespace rowcrew {
namespace {

using Count = Statistics::Count;
using Kind = Ending::Kind;

constexpr std::int64_t kMinute = 1'767'268'800;

std::int64_t count_of(const Statistics::Bucket& bucket, Count count) {
  return bucket.counts[static_cast<std::size_t>(count)];
}

TEST_CASE("statistics: each kind of ending has a count of its own") {
  const std::pair<Kind, Count> pairs[] = {
      {Kind::completed, Count::completed}, {Kind::retry, Count::retried},
      {Kind::snooze, Count::snoozed},      {Kind::failed, Count::failed},
      {Kind::cancelled, Count::cancelled}, {Kind::released, Count::released}};
  for (const auto& [kind, count] : pairs) {
    const std::string word(outcome_word(kind));
    CAPTURE(word);
    Statistics statistics;
    statistics.ended(kMinute, "job_queue", "mail", kind, 7);
    CHECK(statistics.total(count) == 1);
    const auto buckets = statistics.take();
    REQUIRE(buckets.size() == 1);
    std::int64_t sum = 0;
    for (const std::int64_t n : buckets.begin()->second.counts) sum += n;
    CHECK(sum == 1);
    CHECK(count_of(buckets.begin()->second, count) == 1);
  }
}

TEST_CASE("statistics: buckets are kept apart by minute, table and type, and add up") {
  Statistics statistics;
  CHECK(statistics.empty());
  statistics.add(kMinute, "job_queue", "mail", Count::started);
  statistics.add(kMinute, "job_queue", "mail", Count::started);
  statistics.ended(kMinute, "job_queue", "mail", Kind::completed, 30);
  statistics.ended(kMinute, "job_queue", "mail", Kind::completed, 50);
  statistics.ended(kMinute, "job_queue", "mail", Kind::completed, 40);
  statistics.add(kMinute + 60, "job_queue", "mail", Count::claim_lost);
  statistics.add(kMinute + 60, "job_queue", "photo", Count::started);
  statistics.add(kMinute + 60, "processing_jobs", "photo", Count::started);
  CHECK_FALSE(statistics.empty());

  const auto buckets = statistics.take();
  CHECK(buckets.size() == 4);
  const auto& mail = buckets.at({kMinute, "job_queue", "mail"});
  CHECK(count_of(mail, Count::started) == 2);
  CHECK(count_of(mail, Count::completed) == 3);
  CHECK(mail.run_ms == 120);
  CHECK(mail.run_ms_max == 50);
  CHECK(count_of(buckets.at({kMinute + 60, "job_queue", "mail"}), Count::claim_lost) == 1);
}

TEST_CASE("statistics: taking empties the buckets and keeps the totals of the process") {
  Statistics statistics;
  statistics.add(kMinute, "job_queue", "mail", Count::started);
  statistics.take();
  CHECK(statistics.empty());
  CHECK(statistics.take().empty());
  CHECK(statistics.total(Count::started) == 1);
  statistics.add(kMinute, "job_queue", "mail", Count::started);
  CHECK(statistics.take().size() == 1);
}

TEST_CASE("statistics: what could not be written is added to what has come meanwhile, once") {
  Statistics statistics;
  statistics.ended(kMinute, "job_queue", "mail", Kind::failed, 90);
  const auto unwritten = statistics.take();
  statistics.ended(kMinute, "job_queue", "mail", Kind::failed, 10);
  statistics.restore(unwritten);
  const auto buckets = statistics.take();
  REQUIRE(buckets.size() == 1);
  const auto& mail = buckets.begin()->second;
  CHECK(count_of(mail, Count::failed) == 2);
  CHECK(mail.run_ms == 100);
  CHECK(mail.run_ms_max == 90);
  CHECK(statistics.total(Count::failed) == 2);
}

TEST_CASE("statistics: one parameter per column of the statement, in its order") {
  Statistics statistics;
  statistics.add(kMinute, "job_queue", "mail", Count::started);
  statistics.ended(kMinute, "job_queue", "mail", Kind::completed, 5);
  statistics.ended(kMinute, "job_queue", "mail", Kind::failed, INT64_C(3'000'000'000));
  statistics.add(kMinute, "job_queue", "mail", Count::claim_lost);
  statistics.add(kMinute, "processing_jobs", "photo", Count::started);
  const Params params = Statistics::params(42, statistics.take());
  const std::vector<std::string> expected{
      "42",
      "{1767268800,1767268800}",
      R"({"job_queue","processing_jobs"})",
      R"({"mail","photo"})",
      "{1,1}",           // started
      "{1,0}",           // completed
      "{1,0}",           // failed
      "{0,0}",           // retried
      "{0,0}",           // snoozed
      "{0,0}",           // cancelled
      "{0,0}",           // released
      "{1,0}",           // claim_lost
      "{3000000005,0}",  // run_ms
      "{2147483647,0}",  // run_ms_max is an integer in the table
  };
  REQUIRE(params.values().size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(params.values()[i] == expected[i]);
}

}  // namespace
}  // namespace rowcrew
