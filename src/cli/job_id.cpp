#include "cli/job_id.hpp"

#include <algorithm>

#include <rowcrew/error.hpp>

#include "base/units.hpp"

namespace rowcrew::cli {

std::string checked_job_id(const std::string& text) {
  const auto digits = std::count_if(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  const auto dashes = std::count(text.begin(), text.end(), '-');
  if (digits != 32 || digits + dashes != static_cast<long>(text.size()) || (dashes != 0 && dashes != 4)) {
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
