// The configuration of rowcrew-ingest: defaults, units, ranges. etc/ingest.yaml explains each key.
#pragma once

#include <string>

#include <rowcrew/settings.hpp>

#include "base/log_setup.hpp"
#include "ingest/hook.hpp"
#include "net/http_server.hpp"
#include "pg/pool.hpp"

namespace rowcrew {

struct IngestConfig {
  LogOptions log;          ///< log.format, log.level
  PoolOptions database;    ///< database.*
  HttpServerOptions http;  ///< ingest.listen, max_body, request_deadline, max_connections
  Hooks hooks;             ///< hooks.*
  std::string metrics_listen;  ///< metrics.listen; empty: nothing is opened or counted
};

/// Throws ConfigError. Unknown keys are the caller's to check afterwards.
IngestConfig read_ingest_config(const Settings& root);

}  // namespace rowcrew
