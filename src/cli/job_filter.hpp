// Which jobs an act means, from the command line: options that become the filter of act_begin().
#pragma once

#include <optional>
#include <string>

#include "cli/arguments.hpp"

namespace rowcrew::cli {

/// Adds --table, --type, --queue, --tenant, --error-code, --created-after, …, --all.
void add_filter_options(Arguments& args);

/// JSON; nullopt when no option of the filter was given.
std::optional<std::string> filter_of(const Arguments& args);

}  // namespace rowcrew::cli
