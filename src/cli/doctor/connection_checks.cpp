// The way to the server that this command line, or the node's configuration, describes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

void pooler(const Facts& facts, Chart& chart) {
  const json& way = facts.of("connection");
  if (!flag(way, "pooled") || flag(way, "direct")) return;
  chart.warning("database.pooled is set and database.direct_url is not: nodes cannot listen through a transaction pooler, so a sleeping fleet finds jobs within node.poll_every only",
                "set database.direct_url to the server itself: one connection per node");
}

void encryption(const Facts& facts, Chart& chart) {
  const json& way = facts.of("connection");
  const json& remote = way.at("remote");
  if (remote.empty()) return;
  if (flag(way, "pooled")) return chart.unchecked("the pooler's connection is not ours to ask about");
  if (flag(facts.of("server"), "encrypted")) return;
  chart.warning(fmt::format("the connection to {} is not encrypted: payloads, and passwords that are sent in clear, can be read on the way", fmt::join(remote.get<std::vector<std::string>>(), ", ")),
                "sslmode=verify-full in the URL, with the server's CA in database.ca_file");
}

}  // namespace

std::span<const Check> connection_checks() {
  static const std::array<Check, 2> kChecks = {{
      {"connection.encryption", "no TLS to a server on another machine", {"connection", "server"}, encryption},
      {"connection.pooler", "a transaction pooler without a way past it", {"connection"}, pooler},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
