// The group roles and their rights, where the migrations manage them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

/// How many of the rights that the migrations give are gone.
std::int64_t lacking(const json& role) {
  std::int64_t count = flag(role, "usage") ? 0 : 1;
  for (const auto& [wanted, has] : {std::pair("tables", "has_tables"), std::pair("columns", "has_columns"), std::pair("functions", "has_functions")}) {
    count += std::max<std::int64_t>(number(role, wanted) - number(role, has), 0);
  }
  return count;
}

void roles(const Facts& facts, Chart& chart) {
  const json& rights = facts.of("rights");
  const auto has_none = [](const json& role) { return number(role, "has_tables") + number(role, "has_columns") + number(role, "has_functions") == 0; };
  const json& all = rights.at("roles");
  if (text(rights, "owner") != "rowcrew_owner" && std::all_of(all.begin(), all.end(), has_none)) return;  // migrate --roles=none
  for (const json& role : all) {
    const std::string name = text(role, "role");
    if (!flag(role, "present")) {
      chart.problem(fmt::format("role {} does not exist: whoever should be a member of it has no rights", name), "rowcrew migrate");
    } else if (const std::int64_t count = lacking(role); count > 0) {
      chart.problem(fmt::format("role {} lacks {} of the rights that the migrations give: what its members do is refused in places", name, count), "rowcrew migrate");
    }
  }
}

}  // namespace

std::span<const Check> rights_checks() {
  static const std::array<Check, 1> kChecks = {{
      {"rights.roles", "group roles that are missing or lack rights, as after a restore without them", {"rights"}, roles},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
