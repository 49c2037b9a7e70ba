#include <rowcrew/webhook_signature.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>

#include <rowcrew/error.hpp>

#include "base/cipher.hpp"

namespace rowcrew {
namespace {

constexpr std::string_view kSecretPrefix = "whsec_";
constexpr std::string_view kVersionPrefix = "v1,";
constexpr std::size_t kLeastKeyBytes = 24;
constexpr std::size_t kMostKeyBytes = 64;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// Nullopt for anything but padded base64 of the standard alphabet.
std::optional<std::string> from_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0 || text.size() > kMostKeyBytes * 2) return std::nullopt;
  const std::size_t letters = std::min(text.find('='), text.size());
  const std::size_t padding = text.size() - letters;
  const bool clean = text.find_first_not_of(kAlphabet) >= letters &&
                     text.find_first_not_of('=', letters) == text.npos && padding <= 2;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (!clean || EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), bytes_of(text),
                                static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

/// The entry for the header; `key` as it came out of webhook_key().
std::string entry(const std::string& key, std::string_view id, std::string_view timestamp,
                  std::string_view body) {
  std::string text;
  text.reserve(id.size() + timestamp.size() + body.size() + 2);
  text.append(id).append(1, '.').append(timestamp).append(1, '.').append(body);
  return std::string(kVersionPrefix) + to_base64(hmac_sha256(key, text));
}

std::optional<std::int64_t> whole_seconds(std::string_view text) {
  std::int64_t value = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

/// Calls `look` with each entry of version v1; returns how many there were.
template <class F>
int each_entry(std::string_view header, F look) {
  int seen = 0;
  while (!header.empty()) {
    const auto word = header.substr(0, header.find(' '));
    header.remove_prefix(std::min(word.size() + 1, header.size()));
    if (!word.starts_with(kVersionPrefix)) continue;
    ++seen;
    look(word);
  }
  return seen;
}

}  // namespace

std::optional<std::string> webhook_key(std::string_view secret) {
  if (!secret.starts_with(kSecretPrefix)) return std::nullopt;
  auto key = from_base64(secret.substr(kSecretPrefix.size()));
  if (key && (key->size() < kLeastKeyBytes || key->size() > kMostKeyBytes)) key.reset();
  return key;
}

std::string sign_webhook(std::string_view secret, std::string_view id, std::int64_t timestamp,
                         std::string_view body) {
  const auto key = webhook_key(secret);
  if (!key) {
    throw PermanentError("webhook_secret",
                         "webhook secret: expected whsec_ and the base64 of 24 to 64 bytes");
  }
  return entry(*key, id, std::to_string(timestamp), body);
}

std::string_view explain(WebhookVerdict verdict) {
  switch (verdict) {
    case WebhookVerdict::verified: return "verified";
    case WebhookVerdict::no_id: return "no usable webhook-id";
    case WebhookVerdict::no_timestamp: return "no usable webhook-timestamp";
    case WebhookVerdict::no_signature: return "no signature of version v1";
    case WebhookVerdict::too_old: return "the timestamp is too old";
    case WebhookVerdict::too_new: return "the timestamp lies too far in the future";
    case WebhookVerdict::mismatch: return "the signature is not by this secret over these bytes";
  }
  return "unknown";
}

WebhookVerdict verify_webhook(std::span<const std::string> secrets, const WebhookDelivery& delivery,
                              std::int64_t now, std::chrono::seconds tolerance) {
  if (delivery.id.empty() || delivery.id.find('.') != delivery.id.npos) {
    return WebhookVerdict::no_id;
  }
  const auto sent = whole_seconds(delivery.timestamp);
  if (!sent) return WebhookVerdict::no_timestamp;
  if (now - *sent > tolerance.count()) return WebhookVerdict::too_old;
  if (*sent - now > tolerance.count()) return WebhookVerdict::too_new;
  if (each_entry(delivery.signature, [](std::string_view) {}) == 0) {
    return WebhookVerdict::no_signature;
  }
  bool matched = false;
  for (const std::string& secret : secrets) {
    const auto key = webhook_key(secret);
    if (!key) continue;
    // The timestamp as it was sent: "007" and "7" are not the same bytes.
    const std::string expected = entry(*key, delivery.id, delivery.timestamp, delivery.body);
    each_entry(delivery.signature, [&](std::string_view word) {
      if (equal_constant_time(word, expected)) matched = true;
    });
  }
  return matched ? WebhookVerdict::verified : WebhookVerdict::mismatch;
}

}  // namespace rowcrew
