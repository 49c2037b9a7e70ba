// Which jobs an act or a list means, from the command line: options that become the filter of act_begin() and list_jobs().
#pragma once

#include <optional>
#include <string>

#include "cli/arguments.hpp"

namespace rowcrew::cli {

/// Adds --table, --type, --queue, --tenant, --error-code, --created-after, …
void add_filter_options(Arguments& args);

/// JSON, with --all where a command has it and it was given; nullopt when no option of the filter was given.
std::optional<std::string> filter_of(const Arguments& args);

}  // namespace rowcrew::cli
