// The one request that the program reads from stdin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "workflow.hpp"

namespace rowcrew::image {

struct Limits {
  std::uint64_t max_pixels = 100'000'000;
  int max_side = 30'000;
  std::uint64_t max_bytes = 100U << 20;
};

struct Request {
  bool only_clean = false;  ///< remove what earlier runs left for `target`, do nothing else
  std::string source;
  std::string part;
  std::string target;
  Workflow workflow;
  Limits limits;
};

/// {"source", "part", "target", "workflow", "limits"?} or {"clean": true, "target"}. Throws
/// Failure: bad_request, preset_invalid.
Request parse_request(std::string_view json_text);

}  // namespace rowcrew::image
