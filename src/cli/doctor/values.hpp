// Reading facts, and saying them.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/status_report.hpp"

namespace rowcrew::cli::doctor {

using nlohmann::json;

inline std::string text(const json& row, const char* key) { return row.at(key).is_null() ? std::string() : row.at(key).get<std::string>(); }
/// 0 for null.
inline std::int64_t number(const json& row, const char* key) { return row.at(key).is_null() ? 0 : row.at(key).get<std::int64_t>(); }
inline bool flag(const json& row, const char* key) { return row.at(key).is_boolean() && row.at(key).get<bool>(); }
inline std::string span(std::int64_t seconds) { return short_span(std::chrono::seconds(seconds)); }

}  // namespace rowcrew::cli::doctor
