// The YAML half of load_config.
#pragma once

#include <string>

#include "base/settings_tree.hpp"

namespace rowcrew {

/// Adds the file's keys to `tree`. Scalars keep their text: what "no" or "010" means is decided by
/// the typed look-up. Throws ConfigError for an unreadable file, malformed YAML, a duplicate key.
void read_config_file(const std::string& path, Settings::Tree& tree);

}  // namespace rowcrew
