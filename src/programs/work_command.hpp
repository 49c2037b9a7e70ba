// `rowcrew work`: a node in the terminal.
#pragma once

#include "cli/command.hpp"

namespace rowcrew {

cli::Command work_command();

}  // namespace rowcrew
