// The configuration files of the programs that `rowcrew dev` starts. Pure.
#pragma once

#include <string>
#include <string_view>

#include "programs/dev/dev_options.hpp"

namespace rowcrew::dev {

/// `receiver`: "127.0.0.1:PORT", whom webhooks may reach although it is loopback. `slots`:
/// generations at once.
std::string node_config(const DevOptions& options, std::string_view receiver, unsigned slots);
std::string ingest_config();

}  // namespace rowcrew::dev
