// `rowcrew bench`: what this database and this machine can do.
#pragma once

#include "cli/command.hpp"

namespace rowcrew::bench {

cli::Command bench_command();

}  // namespace rowcrew::bench
