#include <fmt/format.h>
#include <charconv>
#include <limits>

#include <rowcrew/db.hpp>
#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

/// Always quoted: a bare NULL, an empty element or a comma would mean something else.
void append_element(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

/// "{a,b,c}" of what `append(out, element)` writes for each.
template <class Elements, class Append>
std::string array_literal(const Elements& elements, Append append) {
  std::string out = "{";
  for (const auto& element : elements) {
    if (out.size() > 1) out += ',';
    append(out, element);
  }
  out += '}';
  return out;
}

}  // namespace

Params& Params::add_array(std::span<const std::string> elements) {
  return add(array_literal(elements, [](std::string& out, const std::string& element) {
    append_element(out, element);
  }));
}

Params& Params::add_array(std::span<const std::optional<std::string>> elements) {
  return add(
      array_literal(elements, [](std::string& out, const std::optional<std::string>& element) {
        if (element) {
          append_element(out, *element);
        } else {
          out += "NULL";
        }
      }));
}

Params& Params::add_array(std::span<const std::int64_t> elements) {
  return add(array_literal(
      elements, [](std::string& out, std::int64_t element) { out += std::to_string(element); }));
}

void Rows::append(std::optional<std::string_view> cell) {
  if (!cell) {
    cells_.push_back({0, -1});
    return;
  }
  constexpr auto kMaxBytes = std::size_t{std::numeric_limits<std::int32_t>::max()};
  if (bytes_.size() + cell->size() > kMaxBytes) {
    throw BugError("db_result", "result: more than 2 GiB, expected a bounded statement");
  }
  cells_.push_back(
      {static_cast<std::uint32_t>(bytes_.size()), static_cast<std::int32_t>(cell->size())});
  bytes_ += *cell;
}

bool Rows::is_null(std::size_t row, std::size_t column) const {
  if (row >= size() || column >= columns_) {
    throw BugError("db_result", fmt::format("result: row {} column {}, expected {} rows of {}", row,
                                            column, size(), columns_));
  }
  return cells_[row * columns_ + column].length < 0;
}

std::string_view Rows::text(std::size_t row, std::size_t column) const {
  if (is_null(row, column)) return {};
  const Cell& cell = cells_[row * columns_ + column];
  return std::string_view(bytes_).substr(cell.offset, static_cast<std::size_t>(cell.length));
}

std::int64_t Rows::integer(std::size_t row, std::size_t column) const {
  const std::string_view found = text(row, column);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(found.data(), found.data() + found.size(), value);
  if (error != std::errc{} || end != found.data() + found.size()) {
    // The cell itself may be private; its place is enough to find the statement.
    throw BugError("db_result",
                   fmt::format("result: row {} column {} is {}, expected a whole number", row,
                               column, is_null(row, column) ? "NULL" : "other text"));
  }
  return value;
}

}  // namespace rowcrew
