// Fields of a server's JSON, and its words in messages of ours: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "judge.hpp"

namespace rowcrew::generation::comfyui {

/// Empty where there is no such text.
std::string text_in(const nlohmann::json& object, const char* key);
/// Null where there is none.
const nlohmann::json* object_in(const nlohmann::json& object, const char* key);
const nlohmann::json* list_in(const nlohmann::json& object, const char* key);

/// "comfyui gpu1:8188 ".
std::string at_server(const Asked& asked);
/// provider_words(), or a remark where they would repeat the job's own.
std::string words_of(const std::string& said, const Asked& asked);

}  // namespace rowcrew::generation::comfyui
