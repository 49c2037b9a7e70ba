// What goes in and out of rowcrew-folder, as JSON.
#pragma once

#include <string>
#include <string_view>

#include "folder_scan.hpp"

namespace rowcrew::folder {

/// Whether this is UTF-8 from end to end.
bool is_utf8(std::string_view text);

/// Throws std::invalid_argument, whose text says what is wrong. Reads the list of known files
/// without ever holding it as JSON: it may have a million entries.
Request parse_request(const std::string& text);

std::string report_text(const Request& request, const Report& report);
std::string error_text(std::string_view code, std::string_view message);

}  // namespace rowcrew::folder
