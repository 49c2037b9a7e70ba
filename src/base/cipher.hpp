// Encryption of values at rest behind a port: an installation chooses the cipher, the key id is
// stored beside the value.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <rowcrew/digest.hpp>

namespace rowcrew {

class Cipher {
 public:
  virtual ~Cipher() = default;
  /// Text that carries the key id, safe to store in a text column.
  virtual std::string seal(std::string_view plain) = 0;
  /// Throws PermanentError("cipher_key": unknown key id, "cipher_corrupt": altered or truncated).
  virtual std::string open(std::string_view sealed) = 0;
};

/// AES-256-GCM (OpenSSL), random nonce: "rc1:<key id>:<base64 of nonce, text, tag>". `secret` is
/// hashed to the key; `key_id` is [a-z0-9_-]{1,32}. Throws ConfigError for anything else.
std::unique_ptr<Cipher> make_cipher(std::string_view key_id, std::string_view secret);

/// The 32 bytes of HMAC-SHA256 (RFC 2104).
std::string hmac_sha256(std::string_view key, std::string_view text);
/// Lower case.
std::string to_hex(std::string_view bytes);
/// RFC 4648, padded.
std::string to_base64(std::string_view bytes);
/// Equal in time that depends on the lengths only.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace rowcrew
