// What the error tables of the vendors have in common: pure.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/http_client.hpp>

namespace rowcrew {

/// The object `error` of a JSON body, also one inside an array of one; null where there is none.
nlohmann::json error_object(const std::string& body);

/// A text of that object; empty where it is none.
std::string text_at(const nlohmann::json& object, std::string_view key);

/// "12ms", "1s", "6m0s", "57.238s", "1h2m3.5s": nullopt for anything else, at most a day.
std::optional<std::chrono::milliseconds> parse_span(std::string_view text);

/// From `now` to the next midnight in California.
std::chrono::milliseconds until_pacific_midnight(std::chrono::system_clock::time_point now);

}  // namespace rowcrew
