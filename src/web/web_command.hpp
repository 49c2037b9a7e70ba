// `rowcrew web`: the fleet on a page.
#pragma once

#include "cli/command.hpp"

namespace rowcrew::web {

cli::Command web_command();

}  // namespace rowcrew::web
