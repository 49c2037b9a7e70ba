// The rows of an answer, for people or for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/text_table.hpp"

namespace rowcrew::cli {

/// `names` and `heads` are those of the columns. With --json an object per line, whose NULLs are null;
/// else a table, or `nothing` when there is no row.
inline void print_listing(Invocation& call, const Arguments& args, const Rows& rows, const std::vector<const char*>& names,
                          std::vector<std::string> heads, const char* nothing) {
  std::vector<std::vector<std::string>> table = {std::move(heads)};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    nlohmann::ordered_json object;
    std::vector<std::string> cells;
    for (std::size_t column = 0; column < names.size(); ++column) {
      object[names[column]] = rows.is_null(row, column) ? nlohmann::ordered_json() : nlohmann::ordered_json(rows.text(row, column));
      cells.emplace_back(rows.text(row, column));
    }
    if (args.has("json")) call.out << object.dump() << "\n";
    table.push_back(std::move(cells));
  }
  if (!args.has("json")) call.out << (rows.empty() ? std::string(nothing) + "\n" : format_table(table));
}

}  // namespace rowcrew::cli
