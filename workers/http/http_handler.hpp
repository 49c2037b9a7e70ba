// Kind `http`: sends a request of the configured allow-list.
#pragma once

#include <chrono>

#include <rowcrew/handler.hpp>
#include <rowcrew/http_client.hpp>

#include "http_entry.hpp"

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::http {

/// The verdict on an answer: pure. `now` is for a Retry-After date in an answer without Date.
/// Codes: http_408, http_425, http_429, http_5xx (retried); http_2xx, http_3xx, http_4xx (failed).
Outcome judge(const Entry& entry, const HttpResponse& response,
              std::chrono::system_clock::time_point now);

class HttpHandler final : public Handler {
 public:
  /// Reads kinds.http, secrets included. Throws ConfigError.
  explicit HttpHandler(const Deps& deps);

  /// Throws PermanentError ("bad_payload", "unknown_entry") and what HttpClient::send throws.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  HttpClient& http_;
  const Clock& clock_;
  AllowList allow_;
};

}  // namespace rowcrew::http

namespace rowcrew {

void register_http(Registry& registry, Deps& deps);

}  // namespace rowcrew
