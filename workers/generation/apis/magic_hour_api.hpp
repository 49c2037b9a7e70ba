// Magic Hour's headshots: presets, requests and what its answers mean. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_verdict.hpp>
#include <rowcrew/settings.hpp>

#include "workers/generation/provider.hpp"

namespace rowcrew::generation {

/// kinds.generation.magic_hour; magic_hour.md has the meanings and ranges.
struct MagicHourConfig {
  std::string api_key;
  std::string base_url;  ///< without a slash at its end
  std::chrono::milliseconds timeout{};
  std::chrono::milliseconds transfer_timeout{};
  std::chrono::milliseconds render_timeout{};
  std::chrono::milliseconds poll_every{};
  std::int64_t max_side = 0;
  std::uint64_t max_answer = 0;
  std::int64_t micros_per_credit = 0;
};

/// Nullopt: there is no key on this node. Throws ConfigError.
std::optional<MagicHourConfig> read_magic_hour_config(const Settings& section);

/// What a preset and a job's words ask for, checked.
struct HeadshotOrder {
  HeadshotOrder() = default;
  std::string prompt;  ///< empty: none is sent, which is how it is meant to be
  std::string steps;   ///< as Development::workflow
};

/// Throws PermanentError ("preset_invalid", "bad_payload").
HeadshotOrder headshot_order(const Work& work);

HttpRequest ask_for_upload(const MagicHourConfig& config);
/// `name`: of the job, for people who look at their page.
HttpRequest ask_for_headshot(const MagicHourConfig& config, const HeadshotOrder& order, const std::string& file_path, const std::string& name);
HttpRequest ask_for_state(const MagicHourConfig& config, const std::string& id);

/// By its table of errors: magic_hour_refuses_us, magic_hour_quota (shut); magic_hour_rate_limited (wait); magic_hour_http_<status> (again,
/// fail); magic_hour_bad_request (fail).
ProviderVerdict judge_magic_hour(const HttpResponse& response, std::chrono::system_clock::time_point now);

struct Upload {
  Upload() = default;
  std::string url;
  std::string file_path;
};
/// Nullopt: the answer has another form.
std::optional<Upload> read_upload(const nlohmann::json& answer);

/// A headshot as it stands.
struct Headshot {
  Headshot() = default;
  std::string id;
  std::int64_t credits = -1;  ///< -1: it does not say
  bool over = false;
  std::string url;            ///< of the picture, when there is one
  ProviderVerdict verdict;    ///< of one that is over: answered, or why there is no picture; `again`: a new one may succeed
};
Headshot read_headshot(const nlohmann::json& answer);

}  // namespace rowcrew::generation
