#include "base/process_limits.hpp"

#include <sys/resource.h>

#include <fmt/format.h>

#include <fstream>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

// Log, event loop, timers, listening and resolving, a child program's pipes.
constexpr std::uint64_t kOfItsOwn = 64;
// Linux deals these when nobody has changed it.
constexpr std::uint32_t kFirstPort = 32768;
constexpr std::uint32_t kLastPort = 60999;

std::uint64_t widened_descriptors() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return RLIM_INFINITY;
  if (files.rlim_cur < files.rlim_max) {
    const rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return before;
  }
  return files.rlim_cur;
}

}  // namespace

ProcessLimits widened_limits() {
  ProcessLimits limits{widened_descriptors(), kFirstPort, kLastPort};
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");  // also of IPv6
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  if (range >> first >> last && first <= last) {
    limits.first_port = first;
    limits.last_port = last;
  }
  return limits;
}

std::vector<std::string> shortages(const ProcessLimits& found, const ProcessNeeds& needs) {
  const std::uint64_t least = kOfItsOwn + needs.connections;
  if (found.descriptors < least) {
    throw ConfigError(fmt::format(
        "descriptors: this process may open {} (RLIMIT_NOFILE), expected at least {} for itself and "
        "{} database connections",
        found.descriptors, least, needs.connections));
  }
  std::vector<std::string> sentences;
  // Outgoing transfers get three quarters of all descriptors (CurlLimits).
  const std::uint64_t full = least + (needs.transfers * 4 + 2) / 3;
  if (found.descriptors < full) {
    sentences.push_back(fmt::format(
        "descriptors: this process may open {} (RLIMIT_NOFILE), expected {} for {} slots that all "
        "wait for an answer: the others would wait for a connection",
        found.descriptors, full, needs.transfers));
  }
  const std::uint64_t ports = found.last_port - found.first_port + 1;
  if (ports < needs.transfers) {
    sentences.push_back(fmt::format(
        "ports: {} for outgoing connections ({}-{}, ip_local_port_range), expected {} for {} slots "
        "that all call one address",
        ports, found.first_port, found.last_port, needs.transfers, needs.transfers));
  }
  return sentences;
}

}  // namespace rowcrew
