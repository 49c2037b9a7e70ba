// Chunks of `rowcrew tail` -> what is printed. Pure.
#pragma once

#include <rowcrew/log.hpp>
#include <string>
#include <string_view>

namespace rowcrew::cli {

struct TailFilter {
  LogLevel level = LogLevel::info;  ///< other tails may have asked for more
  std::string node;                 ///< empty: all
  bool json = false;                ///< lines as they came
};

/// `chunk`: JSON log lines of one node, each with a line end. Returns the lines that pass, each
/// with a line end: JSON, or "time level node event key=value … message" in which nothing can break
/// or repaint a terminal. {"event":"tail.dropped","lines":N} always passes; what is no JSON object
/// never does.
std::string format_tail(std::string_view chunk, const TailFilter& filter);

}  // namespace rowcrew::cli
