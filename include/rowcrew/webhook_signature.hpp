// Signatures of webhooks as Standard Webhooks 1.0.0 has them (v1: HMAC-SHA256), made and checked.
// Pure: time is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rowcrew {

/// The headers that carry them, in lower case.
inline constexpr std::string_view kWebhookIdHeader = "webhook-id";
inline constexpr std::string_view kWebhookTimestampHeader = "webhook-timestamp";
inline constexpr std::string_view kWebhookSignatureHeader = "webhook-signature";

/// The bytes of the key in "whsec_<base64>"; nullopt unless these are 24 to 64. A secret.
std::optional<std::string> webhook_key(std::string_view secret);

/// "v1,<base64>" over `id`.`timestamp`.`body`, these very bytes. `timestamp`: seconds since 1970.
/// Throws PermanentError("webhook_secret") when `secret` holds no key, without telling it.
std::string sign_webhook(std::string_view secret, std::string_view id, std::int64_t timestamp,
                         std::string_view body);

/// A delivery as a receiver sees it; views into its request.
struct WebhookDelivery {
  std::string_view id;         ///< header webhook-id
  std::string_view timestamp;  ///< header webhook-timestamp
  std::string_view signature;  ///< header webhook-signature: entries separated by blanks
  std::string_view body;       ///< raw
};

enum class WebhookVerdict {
  verified,
  no_id,         ///< no id, or one with a dot in it, which would make the signed text ambiguous
  no_timestamp,  ///< none, or no whole number
  no_signature,  ///< no entry of version v1
  too_old,       ///< sent longer ago than is tolerated
  too_new,       ///< from further in the future than is tolerated
  mismatch,      ///< no entry is by a secret of ours over these bytes
};

/// "verified", "the signature is not by this secret over these bytes", …: for a person.
std::string_view explain(WebhookVerdict verdict);

/// Any of `secrets` may have signed (rotation) and any entry may match; entries are compared in
/// constant time. A difference of exactly `tolerance` still passes. `now`: seconds since 1970.
/// Secrets without a key match nothing.
WebhookVerdict verify_webhook(std::span<const std::string> secrets, const WebhookDelivery& delivery,
                              std::int64_t now,
                              std::chrono::seconds tolerance = std::chrono::minutes(5));

}  // namespace rowcrew
