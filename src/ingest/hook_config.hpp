// Section `hooks` of the ingest's configuration; etc/ingest.yaml explains each key.
#pragma once

#include <rowcrew/settings.hpp>

#include "ingest/hook.hpp"

namespace rowcrew {

/// Secrets included. Throws ConfigError.
Hooks read_hooks(const Settings& root);

}  // namespace rowcrew
