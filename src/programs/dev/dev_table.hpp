// What `rowcrew dev` prints at its end. Pure.
#pragma once

#include <string>
#include <vector>

#include "programs/dev/dev_data.hpp"

namespace rowcrew::dev {

struct Places {
  std::string inbox;
  std::string portraits;
  std::string mails;
  std::string logs;
};

/// Several lines, each with its end.
std::string summary_table(const Counts& counts, const std::vector<StageTime>& stages,
                          const Speed& speed, const Places& places);

/// "3.2 photos/s (10 in 3.1 s)", or "no photo".
std::string speed_text(const Speed& speed);

}  // namespace rowcrew::dev
