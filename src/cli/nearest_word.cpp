#include "cli/nearest_word.hpp"

#include <cstddef>

#include "base/edit_distance.hpp"

namespace rowcrew::cli {

std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  std::size_t best = word.size() / 3 + 2;
  std::string found;
  for (const std::string& candidate : candidates) {
    const std::size_t far = candidate.starts_with(word) ? 1 : edit_distance(word, candidate);
    if (far < best) {
      best = far;
      found = candidate;
    }
  }
  return found;
}

}  // namespace rowcrew::cli
