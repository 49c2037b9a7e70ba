#include "cli/job_id.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include <rowcrew/error.hpp>

#include "base/units.hpp"

namespace rowcrew::cli {
namespace {

/// 32 hex digits, with the four dashes in their places or without any.
bool is_uuid(std::string_view text) {
  std::string digits;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool is_place = at == 8 || at == 13 || at == 18 || at == 23;
    if (text.size() == 36 && is_place) {
      if (text[at] != '-') return false;
    } else {
      digits += text[at];
    }
  }
  return digits.size() == 32 && std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace

std::string checked_job_id(const std::string& text) {
  if (!is_uuid(text)) {
    throw UsageError("JOB: " + shown(text) + ", expected the id of a job (a uuid, or TABLE:KEY of an adopted table)");
  }
  return text;
}

std::optional<AdoptedJob> adopted_job(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) return std::nullopt;
  return AdoptedJob{text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace rowcrew::cli
