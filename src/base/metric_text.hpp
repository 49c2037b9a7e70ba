// Metrics as text: the format of Prometheus, 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). Pure.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/histogram.hpp"

namespace rowcrew {

using MetricLabel = std::pair<std::string_view, std::string_view>;

/// The value of a label as it stands in the text, without its quotes: what breaks it is escaped, bytes that are no UTF-8
/// and would fail the whole scrape are replaced, so are control characters that a terminal would obey.
std::string metric_label_value(std::string_view text);

/// The samples of one metric, which have to stand together, each under labels of its own.
class MetricFamily {
 public:
  /// `type`: counter, gauge or histogram. `help` must need no escape.
  MetricFamily(std::string_view name, std::string_view type, std::string_view help);

  void add(std::initializer_list<MetricLabel> labels, std::integral auto value) { sample("", labels, std::to_string(value)); }
  void add(std::initializer_list<MetricLabel> labels, double value);
  /// Its buckets, cumulative, then sum and count.
  void add(std::initializer_list<MetricLabel> labels, const Histogram& histogram);

  /// Nothing without a sample: a metric that is not measured has no head either.
  std::string text() const { return samples_.empty() ? "" : head_ + samples_; }

 private:
  void sample(std::string_view suffix, std::initializer_list<MetricLabel> labels, std::string_view value, std::string_view le = {});

  std::string name_;
  std::string head_;
  std::string samples_;
};

}  // namespace rowcrew
