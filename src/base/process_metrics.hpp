// What the kernel knows of this process, and what it was built as, under the names that every exporter uses.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace rowcrew {

/// process_*: a value that /proc does not give is left out. `started`: by the wall clock.
std::string process_metrics(std::chrono::system_clock::time_point started);

/// rowcrew_build_info, 1 with the version of program, schema (0: it has none) and compiler.
std::string build_metrics(std::string_view version, int schema);

}  // namespace rowcrew
