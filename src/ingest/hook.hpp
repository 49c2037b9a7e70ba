// Webhooks that others send us: whose they are, and what they tell. Pure: time is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "net/http_server.hpp"

namespace rowcrew {

/// How the sender signs (HMAC-SHA256 each).
enum class HookScheme {
  stripe,    ///< Stripe-Signature: t=…,v1=<hex> over "<t>.<body>"; the secret's text as it is, whsec_ included
  standard,  ///< Standard Webhooks 1.0.0 (webhook_signature.hpp), Svix among them
  github,    ///< X-Hub-Signature-256: sha256=<hex> over the body
  shopify,   ///< X-Shopify-Hmac-Sha256: <base64> over the body
  razorpay,  ///< X-Razorpay-Signature: <hex> over the body
};

/// One entry of `hooks`.
struct Hook {
  Hook() = default;
  std::string name;
  HookScheme scheme = HookScheme::standard;
  std::vector<std::string> secrets;  ///< any of them may have signed
  std::string key_hash;              ///< SHA-256 in hex of the API key that its jobs are enqueued with
  std::string job_type;
  std::string entry;                 ///< of the allow-list of the kinds sql, http and command; empty: none
  std::string queue;                 ///< empty: the default
  std::vector<std::string> events;   ///< types that become jobs; empty: all
  std::chrono::seconds tolerance{std::chrono::minutes(5)};
};

using Hooks = std::map<std::string, Hook, std::less<>>;

struct HookEvent {
  HookEvent() = default;
  std::string id;    ///< the sender's; where it signs none: of what it signs, "sha256:<hex of the body>"
  std::string type;  ///< "invoice.paid"; empty where the sender tells none
};

/// Checks the signature over the bytes of the body, and the time where the scheme has one, before anything of
/// the body is read. A difference of exactly `tolerance` still passes. `now`: seconds since 1970.
///
/// Throws Refused: 401 "bad_signature" (none, malformed, by no secret of ours, too old, from the future);
/// 400 "bad_request" (signed, but no JSON object, or without its id).
HookEvent verify_hook(const Hook& hook, const ServerRequest& request, std::int64_t now);

/// {"id", "type", "event": <body, byte for byte>}, for a job with an entry {"entry", "args": {…}}.
std::string hook_payload(const Hook& hook, const HookEvent& event, const std::string& body);

}  // namespace rowcrew
