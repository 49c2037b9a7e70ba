// Columns for a terminal. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rowcrew::cli {

/// Rows of cells, the first row the heads; as wide as the widest, two blanks between, lines end
/// without blanks. Columns of `right` are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right = {});

}  // namespace rowcrew::cli
