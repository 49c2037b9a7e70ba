// One vendor's way of making pictures by HTTP: what is sent, and what its answers mean. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_verdict.hpp>
#include <rowcrew/settings.hpp>

#include "image_bill.hpp"
#include "workers/generation/provider.hpp"

namespace rowcrew::generation {

/// kinds.generation.<provider>; <provider>.md has the meanings and ranges.
struct ImageApiConfig {
  std::string api_key;
  std::string base_url;  ///< without a slash at its end
  std::chrono::milliseconds timeout{};
  std::int64_t max_side = 0;    ///< of the source as it is sent
  std::uint64_t max_answer = 0;
  Models models;
};

/// Nullopt: there is no key on this node. Throws ConfigError.
std::optional<ImageApiConfig> read_image_api_config(const Settings& provider, const std::string& base_url,
                                                    std::chrono::milliseconds timeout);

/// Throws ConfigError unless the key fits into a header.
void check_api_key(const std::string& key, const Settings& provider);
/// Without slashes at its end. Throws ConfigError.
std::string checked_base_url(std::string url, const Settings& provider);

/// What a preset and a job's words ask for, checked.
struct PictureOrder {
  PictureOrder() = default;
  std::string model;
  std::string prompt;   ///< never for logs
  std::string options;  ///< a JSON object, for the request
  std::string steps;    ///< as Development::workflow
};

/// One of the calls for a job.
struct CallName {
  CallName() = default;
  std::string id;          ///< of our own making: the job, and which of its calls
  std::uint32_t seed = 0;  ///< the same on every repeat but after a call in vain
  std::uint64_t boundary = 0;  ///< random
};

/// What an answer of 2xx says, without its picture.
struct PictureAnswer {
  PictureAnswer() = default;
  std::string pointer;      ///< where the picture is; empty: there is none
  std::string code;         ///< and why not
  std::string message;
  int repeats = 0;          ///< how many calls for this job may end so before it fails
  std::string external_id;  ///< as the body has it, so that it is the same whenever that is read; empty: none
  Tokens tokens;
};

class ImageApi {
 public:
  explicit ImageApi(ImageApiConfig settings) : config(std::move(settings)) {}
  virtual ~ImageApi() = default;

  virtual const std::string& name() const = 0;
  /// Throws PermanentError ("preset_invalid", "bad_payload").
  virtual PictureOrder order(const Work& work) const = 0;
  /// The source is wanted as base64 text, not as a file.
  virtual bool inlines_source() const = 0;
  /// `source`: a part with the source as JPEG, or its base64 text; empty: none.
  virtual HttpRequest request(const PictureOrder& order, const std::string& source, const CallName& call) const = 0;
  virtual ProviderVerdict judge(const HttpResponse& response, std::chrono::system_clock::time_point now) const = 0;
  /// It refused after the work was done, which is billed.
  virtual bool refused_after_work(const HttpResponse&) const { return false; }
  /// How the provider calls this exchange, for questions to its support; empty: it does not say.
  virtual std::string request_id(const HttpHeaders&) const { return {}; }
  virtual PictureAnswer read(const nlohmann::json& answer) const = 0;

  const ImageApiConfig config;
};

/// A whole number at this place of an object, not negative; 0 where there is none.
std::int64_t count_at(const nlohmann::json& object, const char* key);
/// A text at this place of an object; empty where there is none.
std::string word_at(const nlohmann::json& object, const char* key);
/// A base64 text, as skimming leaves it: whole when it is short, else {"$bytes"}.
bool holds_picture(const nlohmann::json& object, const char* key);
/// The preset's model. Throws PermanentError("preset_invalid") where the configuration does not name it.
std::string known_model(const std::string& model, const ImageApi& api);

}  // namespace rowcrew::generation
