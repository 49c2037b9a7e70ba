// The running ingest: one event loop, one HTTP server, one pool of connections.
#pragma once

#include "ingest/ingest_config.hpp"

namespace rowcrew {

/// Serves until SIGTERM or SIGINT, then lets running requests end and returns an ExitCode; a second
/// signal skips the wait. Throws ConfigError when the address cannot be listened on.
int serve_ingest(const IngestConfig& config);

}  // namespace rowcrew
