// What an answer of a model provider asks of a job and of everybody else who calls that provider: pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <rowcrew/http_client.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew {

struct ProviderVerdict {
  enum class Act {
    answered,  ///< 2xx: the caller reads the answer
    wait,      ///< too many calls: nobody calls for `wait`; costs no attempt
    shut,      ///< key, balance or model are gone: no call can succeed before somebody acts; costs no attempt
    again,     ///< this call may succeed later; `wait` when the provider said how long; uses an attempt
    fail,      ///< what this job asks for is never done
  };

  ProviderVerdict() = default;
  ProviderVerdict(Act what, std::string error_code, std::string text,
                  std::optional<std::chrono::milliseconds> delay = std::nullopt)
      : act(what), code(std::move(error_code)), message(std::move(text)), wait(delay) {}

  Act act = Act::answered;
  std::string code;     ///< "<provider>_<word>": openai_rate_limited, comfyui_graph_refused …
  std::string message;  ///< one sentence; the provider's own words cut to 300 bytes, never a key or a prompt
  std::optional<std::chrono::milliseconds> wait;
};

/// By the status alone, for what a provider's own table does not know: 2xx answered; 408, 409, 425, 5xx
/// again; 429 wait (60 s unless Retry-After says otherwise); 401, 402, 403 shut; others fail. Codes are
/// `provider` + "_http_<status>", "_rate_limited", "_refuses_us".
ProviderVerdict judge_status(const std::string& provider, const HttpResponse& response,
                             std::chrono::system_clock::time_point now);

/// The provider's own words as they may be stored and logged: one line, no control characters, valid
/// UTF-8, at most 300 bytes.
std::string provider_words(std::string text);

}  // namespace rowcrew
