// A job's id from the command line. Pure.
#pragma once

#include <string>

namespace rowcrew::cli {

/// The id itself. Throws UsageError for what is no uuid.
std::string checked_job_id(const std::string& text);

}  // namespace rowcrew::cli
