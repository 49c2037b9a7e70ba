#include "base/metric_text.hpp"

#include <fmt/format.h>

#include "base/escape.hpp"

namespace rowcrew {
namespace {

/// The shortest form that reads back as the same number: bounds of buckets must look the same in every scrape.
std::string number(double value) { return fmt::format("{}", value); }

}  // namespace

std::string metric_label_value(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto special = text.find_first_of("\\\n");
    std::string prose;
    append_prose(prose, text.substr(0, special));
    for (const char c : prose) {
      if (c == '\\' || c == '"') out += '\\';
      out += c;
    }
    if (special == text.npos) break;
    out += text[special] == '\n' ? "\\n" : "\\\\";
    text.remove_prefix(special + 1);
  }
  return out;
}

MetricFamily::MetricFamily(std::string_view name, std::string_view type, std::string_view help)
    : name_(name), head_(fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type)) {}

void MetricFamily::add(std::initializer_list<MetricLabel> labels, double value) { sample("", labels, number(value)); }

void MetricFamily::add(std::initializer_list<MetricLabel> labels, const Histogram& histogram) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
    below += histogram.counts()[i];
    const bool last = i == histogram.bounds().size();
    sample("_bucket", labels, std::to_string(below), last ? "+Inf" : number(histogram.bounds()[i]));
  }
  sample("_sum", labels, number(histogram.sum()));
  sample("_count", labels, std::to_string(below));
}

void MetricFamily::sample(std::string_view suffix, std::initializer_list<MetricLabel> labels, std::string_view value, std::string_view le) {
  std::string all;
  const auto add = [&](std::string_view label, std::string_view text) {
    if (!all.empty()) all += ',';
    all.append(label).append("=\"").append(text).append("\"");
  };
  for (const auto& [label, text] : labels) add(label, metric_label_value(text));
  if (!le.empty()) add("le", le);
  samples_.append(name_).append(suffix);
  if (!all.empty()) samples_.append("{").append(all).append("}");
  samples_.append(" ").append(value).append("\n");
}

}  // namespace rowcrew
