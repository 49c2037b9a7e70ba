#include "ingest/hook.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include <rowcrew/webhook_signature.hpp>

#include "base/cipher.hpp"
#include "ingest/json_scan.hpp"
#include "ingest/refused.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMostId = 150;  // an idempotency key has 200
constexpr std::size_t kMostType = 100;

[[noreturn]] void unsigned_by_us(const Hook& hook, const std::string& why) {
  throw Refused(401, "bad_signature", "hook " + hook.name + ": " + why);
}

std::string_view the_header(const Hook& hook, const ServerRequest& request, const char* name) {
  const std::string_view value = request.header(name);
  if (value.empty()) unsigned_by_us(hook, std::string("no header ") + name);
  return value;
}

/// Whether one of ours signed `text`: `write` makes of a MAC what the sender sends.
template <class Write>
bool signed_by_us(const Hook& hook, std::string_view text, std::string_view sent, Write write) {
  bool any = false;
  for (const std::string& secret : hook.secrets) {
    any = equal_constant_time(write(hmac_sha256(secret, text)), sent) || any;
  }
  return any;
}

std::optional<std::int64_t> whole_seconds(std::string_view text) {
  std::int64_t value = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

/// "t=1,v1=a,v1=b": calls `look` with each name and value.
template <class Look>
void each_part(std::string_view header, Look look) {
  while (!header.empty()) {
    const std::string_view part = header.substr(0, header.find(','));
    header.remove_prefix(std::min(part.size() + 1, header.size()));
    const auto equals = part.find('=');
    if (equals != part.npos) look(part.substr(0, equals), part.substr(equals + 1));
  }
}

void verify_stripe(const Hook& hook, const ServerRequest& request, std::int64_t now) {
  const std::string_view header = the_header(hook, request, "Stripe-Signature");
  std::string_view stamp;
  each_part(header, [&](std::string_view name, std::string_view value) {
    if (name == "t") stamp = value;
  });
  const auto sent = whole_seconds(stamp);
  if (!sent) unsigned_by_us(hook, "Stripe-Signature: expected t=<seconds>,v1=<hex>");
  if (now - *sent > hook.tolerance.count()) unsigned_by_us(hook, "the timestamp is too old");
  if (*sent - now > hook.tolerance.count()) unsigned_by_us(hook, "the timestamp lies too far in the future");
  const std::string text = std::string(stamp) + "." + request.body;
  bool any = false;
  each_part(header, [&](std::string_view name, std::string_view value) {
    if (name == "v1") any = signed_by_us(hook, text, value, to_hex) || any;
  });
  if (!any) unsigned_by_us(hook, "the signature is not by this secret over these bytes");
}

void verify_standard(const Hook& hook, const ServerRequest& request, std::int64_t now) {
  WebhookDelivery delivery;
  delivery.id = request.header(kWebhookIdHeader);
  delivery.timestamp = request.header(kWebhookTimestampHeader);
  delivery.signature = request.header(kWebhookSignatureHeader);
  delivery.body = request.body;
  const WebhookVerdict verdict = verify_webhook(hook.secrets, delivery, now, hook.tolerance);
  if (verdict != WebhookVerdict::verified) unsigned_by_us(hook, std::string(explain(verdict)));
}

void verify_body(const Hook& hook, const ServerRequest& request, const char* header, std::string_view prefix) {
  std::string_view sent = the_header(hook, request, header);
  if (!sent.starts_with(prefix)) unsigned_by_us(hook, std::string(header) + ": expected " + std::string(prefix) + "<hex>");
  sent.remove_prefix(prefix.size());
  const auto write = hook.scheme == HookScheme::shopify ? to_base64 : to_hex;
  if (!signed_by_us(hook, request.body, sent, write)) unsigned_by_us(hook, "the signature is not by this secret over these bytes");
}

void verify_signature(const Hook& hook, const ServerRequest& request, std::int64_t now) {
  switch (hook.scheme) {
    case HookScheme::stripe: return verify_stripe(hook, request, now);
    case HookScheme::standard: return verify_standard(hook, request, now);
    case HookScheme::github: return verify_body(hook, request, "X-Hub-Signature-256", "sha256=");
    case HookScheme::shopify: return verify_body(hook, request, "X-Shopify-Hmac-Sha256", "");
    case HookScheme::razorpay: return verify_body(hook, request, "X-Razorpay-Signature", "");
  }
}

[[noreturn]] void bad_body(const Hook& hook, const std::string& why) {
  throw Refused(400, "bad_request", "hook " + hook.name + ": body: " + why);
}

std::string text_member(const std::vector<JsonMember>& members, std::string_view name) {
  for (const JsonMember& member : members) {
    if (member.name == name && json_kind(member.value) == JsonKind::string) return decode_json_string(member.value);
  }
  return {};
}

bool is_word(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string type_of(const Hook& hook, const ServerRequest& request, const std::vector<JsonMember>& members) {
  switch (hook.scheme) {
    case HookScheme::stripe:
    case HookScheme::standard: return text_member(members, "type");
    case HookScheme::razorpay: return text_member(members, "event");
    case HookScheme::github: return std::string(request.header("X-GitHub-Event"));
    case HookScheme::shopify: return std::string(request.header("X-Shopify-Topic"));
  }
  return {};
}

// An id that is not signed proves nothing: who repeats a recorded delivery gives it another one.
std::string id_of(const Hook& hook, const ServerRequest& request, const std::vector<JsonMember>& members) {
  std::string id;
  if (hook.scheme == HookScheme::stripe) id = text_member(members, "id");
  if (hook.scheme == HookScheme::standard) id = request.header(kWebhookIdHeader);
  if (hook.scheme == HookScheme::stripe && id.empty()) bad_body(hook, "without an id");
  return is_word(id, kMostId) ? id : "sha256:" + sha256_hex(id.empty() ? std::string_view(request.body) : id);
}

}  // namespace

HookEvent verify_hook(const Hook& hook, const ServerRequest& request, std::int64_t now) {
  verify_signature(hook, request, now);
  std::vector<JsonMember> members;
  try {
    members = scan_json_object(request.body);
  } catch (const PermanentError& error) {
    bad_body(hook, error.what());
  }
  HookEvent event;
  event.id = id_of(hook, request, members);
  event.type = type_of(hook, request, members);
  if (!is_word(event.type, kMostType)) event.type.clear();
  return event;
}

std::string hook_payload(const Hook& hook, const HookEvent& event, const std::string& body) {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  std::string args = "{\"id\":" + quoted(event.id) + ",\"type\":" + quoted(event.type) + ",\"event\":" + body + "}";
  if (hook.entry.empty()) return args;
  return "{\"entry\":" + quoted(hook.entry) + ",\"args\":" + args + "}";
}

}  // namespace rowcrew
