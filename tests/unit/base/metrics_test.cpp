#include <doctest/doctest.h>

#include "base/histogram.hpp"
#include "base/label_values.hpp"
#include "base/loop_lag.hpp"
#include "base/metric_text.hpp"
#include "base/process_metrics.hpp"
#include "support/exposition.hpp"
#include "support/fake_clock.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using rowcrew::testing::parse_exposition;

namespace {

constexpr double kBounds[] = {0.005, 0.1, 0.25, 1, 10};

}  // namespace

TEST_CASE("label values: what would break the text is escaped, and nothing else is changed") {
  CHECK(metric_label_value("plain ä 🐈") == "plain ä 🐈");
  CHECK(metric_label_value("a\"b") == "a\\\"b");
  CHECK(metric_label_value("a\\b\nc") == "a\\\\b\\nc");
  CHECK(metric_label_value("\n\\") == "\\n\\\\");
  CHECK(metric_label_value("").empty());
}

TEST_CASE("label values: bytes that are no UTF-8 and what a terminal obeys are replaced") {
  CHECK(metric_label_value("a\xff") == "a\uFFFD");
  CHECK(metric_label_value("\xe2\x82") == "\uFFFD\uFFFD");
  CHECK(metric_label_value("\x1b[2J") == "\\\\u001b[2J");
}

TEST_CASE("metric family: one head, samples below it, and none without a sample") {
  MetricFamily jobs("jobs_total", "counter", "Jobs.");
  CHECK(jobs.text().empty());
  jobs.add({}, std::uint64_t{18446744073709551615u});
  jobs.add({{"queue", "a"}, {"kind", "b"}}, 0.1);
  CHECK(jobs.text() == "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 18446744073709551615\njobs_total{queue=\"a\",kind=\"b\"} 0.1\n");
}

TEST_CASE("histogram: buckets are cumulative, the last is the count, and bounds read as they are meant") {
  Histogram took(kBounds);
  for (const double seconds : {0.0, 0.005, 0.006, 0.1, 2.0, 11.0, -3.0}) took.observe(seconds);
  took.observe(std::chrono::nanoseconds(250ms));
  MetricFamily family("took_seconds", "histogram", "Took.");
  family.add({{"kind", "x"}}, took);
  CHECK(family.text() ==
        "# HELP took_seconds Took.\n# TYPE took_seconds histogram\n"
        "took_seconds_bucket{kind=\"x\",le=\"0.005\"} 3\n"
        "took_seconds_bucket{kind=\"x\",le=\"0.1\"} 5\n"
        "took_seconds_bucket{kind=\"x\",le=\"0.25\"} 6\n"
        "took_seconds_bucket{kind=\"x\",le=\"1\"} 6\n"
        "took_seconds_bucket{kind=\"x\",le=\"10\"} 7\n"
        "took_seconds_bucket{kind=\"x\",le=\"+Inf\"} 8\n"
        "took_seconds_sum{kind=\"x\"} 13.361\n"
        "took_seconds_count{kind=\"x\"} 8\n");
  CHECK(took.count() == 8);
}

TEST_CASE("label values: the first so many names are told apart, all others are one") {
  const LabelValues values({"a", "b", "c", "d"}, 2);
  CHECK(values.size() == 3);
  CHECK(values.value(values.place("b")) == "b");
  CHECK(values.place("c") == 0);
  CHECK(values.place("never heard of") == 0);
  CHECK(values.value(0) == "other");
}

TEST_CASE("label values: names that look the same in the text are one value, so that no series comes twice") {
  const std::string long_name(300, 'x');
  const LabelValues values({"a\xfe", "a\xff", "other", long_name + "1", long_name + "2"}, 10);
  CHECK(values.place("a\xfe") == values.place("a\xff"));
  CHECK(values.place("other") == 0);
  CHECK(values.place(long_name + "1") == values.place(long_name + "2"));
  CHECK(values.value(values.place(long_name + "1")).size() == 64);
  CHECK(values.size() == 3);
}

TEST_CASE("process metrics: this process has memory, threads, descriptors and a beginning") {
  const auto series = parse_exposition(process_metrics(std::chrono::system_clock::time_point(1700000000123ms)));
  CHECK(series.at("process_resident_memory_bytes") > 100'000);
  CHECK(series.at("process_threads") >= 1);
  CHECK(series.at("process_open_fds") >= 3);
  CHECK(series.at("process_max_fds") >= series.at("process_open_fds"));
  CHECK(series.at("process_cpu_seconds_total") >= 0);
  CHECK(series.at("process_start_time_seconds") == doctest::Approx(1700000000.123));
}

TEST_CASE("build metrics: tell the version, and the schema of programs that have one") {
  CHECK(build_metrics("1.2.3", 26).find("version=\"1.2.3\",schema=\"26\",compiler=\"") != std::string::npos);
  CHECK(build_metrics("1.2.3", 0).find("schema") == std::string::npos);
  CHECK(parse_exposition(build_metrics("1.2.3", 26)).size() == 1);
}
