// A provider's answer on disk: JSON with pictures in it as base64 text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "request.hpp"
#include "source_file.hpp"

namespace rowcrew::image {

/// The picture at `pointer` (RFC 6901), decoded. Throws Failure: provider_answer (no JSON, nothing there, no
/// base64 text), and what open_source throws.
SourceFile open_in_json(const std::string& path, const std::string& pointer, const Limits& limits);

/// The answer with every string of more than 1000 bytes replaced by {"$bytes": <length>}. Throws Failure:
/// provider_answer (no JSON object), and what opening the file throws.
nlohmann::json skim(const std::string& path, const Limits& limits);

/// RFC 4648, without line ends.
std::string base64(const std::string& bytes);

}  // namespace rowcrew::image
