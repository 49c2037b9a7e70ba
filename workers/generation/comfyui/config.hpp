// kinds.generation.comfyui.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <rowcrew/http_client.hpp>
#include <rowcrew/settings.hpp>

namespace rowcrew::generation::comfyui {

/// comfyui.md has the meanings and ranges.
struct Config {
  Config() = default;
  std::vector<std::string> servers;  ///< base URLs without a slash at their end
  std::chrono::milliseconds timeout{};
  std::chrono::milliseconds poll{};
  std::int64_t max_side = 0;
  std::uint64_t max_bytes = 0;  ///< of a result
  std::int64_t second_micros = 0;
  HttpHeaders headers;  ///< secrets among them
};

/// Throws ConfigError.
Config read_config(const Settings& generation);

/// Host and port of a base URL, for messages.
std::string label_of(const std::string& server);

/// How long until the next look, so long after the first one.
std::chrono::milliseconds poll_after(std::chrono::milliseconds poll, std::chrono::milliseconds watched);

}  // namespace rowcrew::generation::comfyui
