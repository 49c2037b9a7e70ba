#include "cli/text_table.hpp"

#include <algorithm>
#include <utility>

#include "base/escape.hpp"

namespace rowcrew::cli {
namespace {

/// Characters, not bytes: names may hold any.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

/// Reasons, tenants and queues are what people and applications wrote: none of them breaks or repaints a row.
std::vector<std::vector<std::string>> safe(std::vector<std::vector<std::string>> rows) {
  for (auto& row : rows) {
    for (std::string& cell : row) {
      std::string text;
      append_prose(text, cell);
      cell = std::move(text);
    }
  }
  return rows;
}

}  // namespace

std::string format_table(const std::vector<std::vector<std::string>>& given,
                         const std::vector<std::size_t>& right) {
  const auto rows = safe(given);
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i]), ' ');
      const bool to_right = std::find(right.begin(), right.end(), i) != right.end();
      if (i > 0) line += "  ";
      line += to_right ? gap + row[i] : row[i] + gap;
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

}  // namespace rowcrew::cli
