// Provider "presets": develops the picture here, in a child program with limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/child_runner.hpp>

#include "provider.hpp"

namespace rowcrew {
class Clock;
class Log;
struct Deps;
class Settings;
}  // namespace rowcrew

namespace rowcrew::generation {

/// kinds.generation; README.md has the meanings and ranges.
struct PresetsConfig {
  std::string program;  ///< absolute path of rowcrew-image
  std::chrono::milliseconds timeout{};
  std::chrono::seconds max_cpu{};
  std::uint64_t max_memory = 0;
  std::uint64_t max_pixels = 0;
  std::int64_t max_side = 0;
  std::uint64_t max_bytes = 0;
};

/// Throws ConfigError.
PresetsConfig read_presets_config(const Settings& generation);

class PresetsProvider final : public Provider {
 public:
  explicit PresetsProvider(const Deps& deps);

  boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) override;

 private:
  ChildRequest request(std::string input, std::chrono::milliseconds timeout) const;
  std::string order(const Work& work, std::int64_t claim_token) const;
  boost::asio::awaitable<void> clear_away(std::string target);

  ChildRunner& children_;
  Clock& clock_;
  Log& log_;
  PresetsConfig config_;
  std::vector<std::pair<std::string, std::string>> env_;
};

}  // namespace rowcrew::generation
