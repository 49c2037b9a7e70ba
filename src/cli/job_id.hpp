// A job's id from the command line. Pure.
#pragma once

#include <optional>
#include <string>

namespace rowcrew::cli {

/// The id itself. Throws UsageError for what is no uuid.
std::string checked_job_id(const std::string& text);

/// A job of an adopted table, given as "TABLE:KEY".
struct AdoptedJob {
  std::string table;
  std::string key;
};
/// Nothing when it has no such form.
std::optional<AdoptedJob> adopted_job(const std::string& text);

}  // namespace rowcrew::cli
