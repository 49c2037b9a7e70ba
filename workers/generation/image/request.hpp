// The one request that the program reads from stdin.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sniff.hpp"
#include "workflow.hpp"

namespace rowcrew::image {

struct Limits {
  std::uint64_t max_pixels = 100'000'000;
  int max_side = 30'000;
  std::uint64_t max_bytes = 100U << 20;
};

struct Request {
  enum class What {
    develop,  ///< a finished picture of a source
    prepare,  ///< a source as it may be shown to strangers, left in `part`
    check,    ///< look at the workflow alone
    skim,     ///< what a JSON file says beside the pictures in it
    clean,    ///< remove what earlier runs left for `target`, do nothing else
  };
  What what = What::develop;
  std::string source;
  std::string pointer;  ///< develop: where in a JSON file the picture is, as base64 text; empty: it is no JSON
  bool consume = false;  ///< develop: remove the source once the picture is finished
  std::optional<Format> format;  ///< of what is written; none: as the source
  bool base64 = false;           ///< prepare: write text
  std::string part;
  std::string target;
  Workflow workflow;  ///< develop; without one: as it is. prepare: the box that it must fit into
  Limits limits;
};

/// {"source", "pointer"?, "consume"?, "format"?, "part", "target", "workflow"?, "limits"?},
/// {"prepare": {"format", "max_side", "base64"}, "source", "part", "target", "limits"?},
/// {"skim": true, "source", "limits"?} or {"clean": true, "target"}. Throws Failure: bad_request,
/// preset_invalid.
Request parse_request(std::string_view json_text);

}  // namespace rowcrew::image
