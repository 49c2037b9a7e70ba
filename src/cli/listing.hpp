// The rows of an answer, for people or for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/text_table.hpp"

namespace rowcrew::cli {

/// The columns below `heads`, then one that holds the row as an object. With --json that object, a line each;
/// else a table, or `nothing` when there is no row.
inline void print_listing(Invocation& call, const Arguments& args, const Rows& rows, std::vector<std::string> heads, const char* nothing) {
  const std::size_t columns = heads.size();
  std::vector<std::vector<std::string>> table = {std::move(heads)};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (args.has("json")) call.out << nlohmann::ordered_json::parse(rows.text(row, columns)).dump() << "\n";
    std::vector<std::string> cells;
    for (std::size_t column = 0; column < columns; ++column) cells.emplace_back(rows.text(row, column));
    table.push_back(std::move(cells));
  }
  if (!args.has("json")) call.out << (rows.empty() ? std::string(nothing) + "\n" : format_table(table));
}

}  // namespace rowcrew::cli
