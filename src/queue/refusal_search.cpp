#include "queue/refusal_search.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

namespace rowcrew {

bool tells_of_one_job(const DbError& error) {
  if (error.connection_lost() || error.error_class() == ErrorClass::transient) return false;
  static constexpr std::array<std::string_view, 12> kOfTheWhole = {
      "0A", "25", "26", "28", "2D", "3D", "3F", "42",  // the statement, the session, rights, objects
      "58", "F0", "HV", "XX",                          // the server itself
  };
  if (error.sqlstate().size() != 5) return false;
  const std::string_view of = std::string_view(error.sqlstate()).substr(0, 2);
  return std::find(kOfTheWhole.begin(), kOfTheWhole.end(), of) == kOfTheWhole.end();
}

RefusalSearch::RefusalSearch(std::vector<std::string> ids) {
  std::set<std::string> seen;
  std::erase_if(ids, [&](const std::string& id) { return !seen.insert(id).second; });
  if (!ids.empty()) parts_.push_back(std::move(ids));
}

std::vector<std::string> RefusalSearch::next(std::size_t most) {
  most = std::max<std::size_t>(most, 1);
  if (parts_.back().size() > most) {
    std::vector<std::string>& rest = parts_.back();
    const auto cut = rest.begin() + static_cast<std::ptrdiff_t>(most);
    std::vector<std::string> part(rest.begin(), cut);
    rest.erase(rest.begin(), cut);
    parts_.push_back(std::move(part));
  }
  return parts_.back();
}

void RefusalSearch::passed() { parts_.pop_back(); }

std::optional<std::string> RefusalSearch::refused() {
  std::vector<std::string> part = std::move(parts_.back());
  parts_.pop_back();
  if (part.size() == 1) return std::move(part.front());
  const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
  parts_.emplace_back(middle, part.end());
  parts_.emplace_back(part.begin(), middle);
  return std::nullopt;
}

}  // namespace rowcrew
