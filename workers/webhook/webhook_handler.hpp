// Kind `webhook`: sends one delivery to its endpoint, signed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <rowcrew/handler.hpp>
#include <rowcrew/http_client.hpp>

#include "retry_schedule.hpp"

namespace rowcrew {
class Clock;
class Db;
class Random;
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::webhook {

/// A delivery as it is to be sent. Holds secrets.
struct Delivery {
  Delivery() = default;
  std::string url;
  std::string body;
  std::string secret;
  std::optional<std::string> previous_secret;  ///< while it still signs along
  std::int64_t sent_at = 0;                    ///< seconds since 1970, the database's clock
};

/// "msg_" and the hex digits of the delivery's uuid: the same on every attempt.
std::string webhook_id(std::string_view delivery_id);

/// The whole request but its timeout: pure. Throws PermanentError("webhook_secret").
HttpRequest make_request(const Delivery& delivery, std::string_view delivery_id);

class WebhookHandler final : public Handler {
 public:
  /// Reads kinds.webhook. Throws ConfigError.
  explicit WebhookHandler(const Deps& deps);

  /// Throws PermanentError ("bad_payload", "webhook_secret"), DbError and what HttpClient::send
  /// throws beside what judge() knows.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  boost::asio::awaitable<Outcome> send(HttpRequest request, std::chrono::milliseconds wait);

  Db& db_;
  HttpClient& http_;
  const Clock& clock_;
  Random& random_;
  std::chrono::milliseconds timeout_;
  bool https_only_;
  RetrySchedule schedule_;
};

}  // namespace rowcrew::webhook

namespace rowcrew {

void register_webhook(Registry& registry, Deps& deps);

}  // namespace rowcrew
