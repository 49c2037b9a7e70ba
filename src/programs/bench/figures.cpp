#include "programs/bench/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/text_table.hpp"

namespace rowcrew::bench {
namespace {

/// 1234567.8 -> "1,234,568"
std::string grouped(double value, int digits) {
  std::string text = fmt::format("{:.{}f}", value, digits);
  const std::size_t first = text.front() == '-' ? 1 : 0;
  const std::size_t point = std::min(text.find('.'), text.size());
  for (std::size_t at = point; at > first + 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

}  // namespace

Percentiles percentiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto rank = [&](double share) {
    const auto position = static_cast<std::size_t>(std::ceil(static_cast<double>(values.size()) * share));
    return values[std::max<std::size_t>(position, 1) - 1];
  };
  return {rank(0.50), rank(0.95), rank(0.99), values.back()};
}

void Figures::add(std::string key, std::string label, std::optional<double> value, int digits) {
  if (value && !std::isfinite(*value)) value = std::nullopt;
  figures_.push_back({std::move(key), std::move(label), value, digits});
}

void Figures::add(const std::string& key, const std::string& label, const Percentiles& values) {
  add(key + "_p50_ms", label + " p50, ms", values.p50, 2);
  add(key + "_p95_ms", label + " p95, ms", values.p95, 2);
  add(key + "_p99_ms", label + " p99, ms", values.p99, 2);
  add(key + "_max_ms", label + " max, ms", values.max, 2);
}

std::string Figures::text() const {
  std::vector<std::vector<std::string>> rows;
  for (const Figure& f : figures_) rows.push_back({f.label, f.value ? grouped(*f.value, f.digits) : "-"});
  return cli::format_table(rows, {1});
}

std::string Figures::json() const {
  nlohmann::ordered_json object;
  for (const Figure& f : figures_) {
    if (!f.value) {
      object[f.key] = nullptr;
    } else if (f.digits == 0) {
      object[f.key] = std::llround(*f.value);
    } else {
      const double scale = std::pow(10, f.digits);
      object[f.key] = std::round(*f.value * scale) / scale;
    }
  }
  return object.dump() + "\n";
}

}  // namespace rowcrew::bench
