// What the system lets this process open, against what it may need at once. Found out at start: a
// shortage would show up as failing jobs, hours later and far from its cause.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rowcrew {

struct ProcessLimits {
  std::uint64_t descriptors;  ///< that may be open at once
  std::uint32_t first_port;   ///< of those that the system deals to outgoing connections
  std::uint32_t last_port;
};

struct ProcessNeeds {
  std::size_t connections;  ///< to the database, open all the time
  std::size_t transfers;    ///< outgoing requests at once, when every slot has one
};

/// Raises the limit of descriptors as far as this process may, and reads what holds then.
ProcessLimits widened_limits();

/// One sentence for each limit that is lower than what a full load takes; the process works below it.
/// Throws ConfigError when it cannot work at all. Pure.
std::vector<std::string> shortages(const ProcessLimits& found, const ProcessNeeds& needs);

}  // namespace rowcrew
