// `rowcrew dev`: everything in one terminal.
#pragma once

#include "cli/command.hpp"

namespace rowcrew::dev {

cli::Command dev_command();

}  // namespace rowcrew::dev
