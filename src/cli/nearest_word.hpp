// "did you mean …?": pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::cli {

/// The candidate that differs least from `word`, or empty when none is similar.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace rowcrew::cli
