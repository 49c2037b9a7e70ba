#include "pg/sqlstate.hpp"

#include <algorithm>
#include <array>

namespace rowcrew {
namespace {

using namespace std::string_view_literals;

constexpr std::array kTransientClasses = {"08"sv, "40"sv, "53"sv, "57"sv};
constexpr std::array kTransientStates = {"55P03"sv, "25006"sv};
constexpr std::array kPermanentClasses = {"22"sv, "23"sv};
constexpr std::array kSpoilingStates = {"25006"sv, "0A000"sv, "26000"sv, "42P05"sv, "42501"sv};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

ErrorClass classify_sqlstate(std::string_view sqlstate) {
  const std::string_view group = sqlstate.substr(0, 2);
  if (sqlstate.empty() || contains(kTransientClasses, group) ||
      contains(kTransientStates, sqlstate)) {
    return ErrorClass::transient;
  }
  return contains(kPermanentClasses, group) ? ErrorClass::permanent : ErrorClass::bug;
}

bool spoils_session(std::string_view sqlstate) {
  return contains(kSpoilingStates, sqlstate);
}

bool is_read_only(std::string_view sqlstate) {
  return sqlstate == "25006";
}

}  // namespace rowcrew
