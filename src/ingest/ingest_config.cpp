#include "ingest/ingest_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "ingest/hook_config.hpp"
#include "net/metrics_endpoint.hpp"
#include "pg/pool_settings.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kKiB = 1024;

LogOptions read_log(const Settings& log) {
  LogOptions options;
  options.format =
      parse_log_format(log.choice("format", "auto", {"auto", "logfmt", "json", "journal"}));
  options.level =
      parse_log_level(log.choice("level", "info", {"debug", "info", "warning", "error"}));
  return options;
}

HttpServerOptions read_http(const Settings& ingest) {
  HttpServerOptions http;
  http.listen = ingest.text("listen", "127.0.0.1:8080");
  http.max_body_bytes = ingest.bytes("max_body", 1024 * kKiB, kKiB, 64 * 1024 * kKiB);
  http.request_deadline = ingest.duration("request_deadline", http.request_deadline, 1s, 5min);
  http.max_connections =
      static_cast<unsigned>(ingest.integer("max_connections", http.max_connections, 1, 100'000));
  return http;
}

}  // namespace

IngestConfig read_ingest_config(const Settings& root) {
  IngestConfig config;
  config.log = read_log(root.section("log"));
  const Settings ingest = root.section("ingest");
  config.http = read_http(ingest);
  const auto deadline = config.http.request_deadline;
  const auto wait = ingest.duration("database_wait", std::min(deadline / 4, 2'000ms), 100ms, 1min);
  if (wait * 2 > deadline) {
    throw ConfigError(fmt::format("{}: {}, expected at most half of {} ({})",
                                  ingest.full("database_wait"), format_duration(wait),
                                  ingest.full("request_deadline"), format_duration(deadline)));
  }
  config.hooks = read_hooks(root);
  config.metrics_listen = read_metrics_listen(root);
  config.database = read_pool_options(root, "rowcrew-ingest");
  config.database.wait = wait;
  // The database gives up before the client is told that there was no answer in time: what has
  // happened is known then.
  config.database.statement_timeout =
      std::min(config.database.statement_timeout, (deadline - wait) / 2);
  return config;
}

}  // namespace rowcrew
