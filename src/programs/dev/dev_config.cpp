#include "programs/dev/dev_config.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace rowcrew::dev {
namespace {

/// A JSON string is a YAML scalar, whatever the path holds.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string node_config(const DevOptions& options, std::string_view receiver, unsigned slots) {
  return fmt::format(
      "# Written by rowcrew dev on every start.\n"
      "node:\n"
      "  name: dev\n"
      "  stop_within: 10s\n"
      "log:\n"
      "  format: logfmt\n"
      "queues:\n"
      "  default: 8\n"
      "  generation: {}\n"
      "egress:\n"
      "  allow: [{}]   # loopback is refused otherwise\n"
      "mail:\n"
      "  transport: maildir\n"
      "  maildir: {}\n"
      "kinds:\n"
      "  email:\n"
      "    from: \"Demo studio <studio@example.com>\"\n"
      "    templates: {}\n",
      slots, quoted(std::string(receiver)), quoted(options.mails().string()),
      quoted(options.templates.string()));
}

std::string ingest_config() {
  return "# Written by rowcrew dev on every start.\n"
         "ingest:\n"
         "  listen: 127.0.0.1:0   # any free port\n"
         "log:\n"
         "  format: logfmt\n";
}

}  // namespace rowcrew::dev
