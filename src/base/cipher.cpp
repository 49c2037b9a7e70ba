#include "base/cipher.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <optional>
#include <vector>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

constexpr std::string_view kScheme = "rc1:";
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kMaxPlainBytes = std::size_t{64} << 20;  // far below OpenSSL's int lengths

using Bytes = std::vector<unsigned char>;
using Digest = std::array<unsigned char, 32>;

[[noreturn]] void corrupt() {
  throw PermanentError("cipher_corrupt",
                       "sealed value: altered or truncated, expected what this installation wrote");
}

void require(bool ok, std::string_view call) {
  if (!ok) throw BugError("cipher", fmt::format("{}: failed, expected OpenSSL to have it", call));
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Digest sha256(std::string_view bytes) {
  Digest digest{};
  require(
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
      "SHA-256");
  return digest;
}

std::string_view text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Nullopt for anything that to_base64 would not have written.
std::optional<Bytes> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > kMaxPlainBytes * 2) return std::nullopt;
  Bytes bytes(text.size() / 4 * 3);
  if (EVP_DecodeBlock(bytes.data(), bytes_of(text), static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.erase(bytes.end() - static_cast<std::ptrdiff_t>(padding), bytes.end());
  // OpenSSL skips blanks and ignores stray bits: two texts must not open to one value.
  if (to_base64(text_of(bytes)) != text) return std::nullopt;
  return bytes;
}

class AesGcm final : public Cipher {
 public:
  AesGcm(std::string_view key_id, std::string_view secret)
      : prefix_(fmt::format("{}{}:", kScheme, key_id)), key_(sha256(secret)) {}
  ~AesGcm() override { OPENSSL_cleanse(key_.data(), key_.size()); }

  std::string seal(std::string_view plain) override;
  std::string open(std::string_view sealed) override;

 private:
  struct Context {
    Context() : raw(EVP_CIPHER_CTX_new()) { require(raw != nullptr, "AES-256-GCM"); }
    ~Context() { EVP_CIPHER_CTX_free(raw); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    EVP_CIPHER_CTX* raw;
  };

  /// A context with key, nonce and the prefix as authenticated data, so that a value moved under
  /// another key id does not open.
  void begin(Context& context, const unsigned char* nonce, bool encrypt) const;

  std::string prefix_;  ///< "rc1:<key id>:"
  Digest key_;
};

void AesGcm::begin(Context& context, const unsigned char* nonce, bool encrypt) const {
  int ignored = 0;
  const bool ok = EVP_CipherInit_ex(context.raw, EVP_aes_256_gcm(), nullptr, key_.data(), nonce,
                                    encrypt ? 1 : 0) == 1 &&
                  EVP_CipherUpdate(context.raw, nullptr, &ignored, bytes_of(prefix_),
                                   static_cast<int>(prefix_.size())) == 1;
  require(ok, "AES-256-GCM");
}

std::string AesGcm::seal(std::string_view plain) {
  if (plain.size() > kMaxPlainBytes) {
    throw BugError("cipher", fmt::format("value: {} bytes, expected 64 MiB at most", plain.size()));
  }
  Bytes out(kNonceBytes + plain.size() + kTagBytes);
  unsigned char* const text = out.data() + kNonceBytes;
  require(RAND_bytes(out.data(), kNonceBytes) == 1, "RAND_bytes");
  Context context;
  begin(context, out.data(), true);
  int written = 0;
  int rest = 0;
  const bool ok =
      EVP_CipherUpdate(context.raw, text, &written, bytes_of(plain),
                       static_cast<int>(plain.size())) == 1 &&
      EVP_CipherFinal_ex(context.raw, text + written, &rest) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.raw, EVP_CTRL_GCM_GET_TAG, kTagBytes, text + plain.size()) == 1;
  require(ok, "AES-256-GCM");
  return prefix_ + to_base64(text_of(out));
}

std::string AesGcm::open(std::string_view sealed) {
  const auto id_end = sealed.find(':', kScheme.size());
  if (!sealed.starts_with(kScheme) || id_end == std::string_view::npos) corrupt();
  if (sealed.substr(0, id_end + 1) != prefix_) {
    throw PermanentError(
        "cipher_key",
        fmt::format("sealed value: unknown key id, expected {}",
                    prefix_.substr(kScheme.size(), prefix_.size() - kScheme.size() - 1)));
  }
  auto bytes = from_base64(sealed.substr(id_end + 1));
  if (!bytes || bytes->size() < kNonceBytes + kTagBytes) corrupt();
  const std::size_t length = bytes->size() - kNonceBytes - kTagBytes;
  Context context;
  begin(context, bytes->data(), false);
  std::string plain(length, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(plain.data());
  int written = 0;
  int rest = 0;
  const bool authentic = EVP_CIPHER_CTX_ctrl(context.raw, EVP_CTRL_GCM_SET_TAG, kTagBytes,
                                             bytes->data() + kNonceBytes + length) == 1 &&
                         EVP_CipherUpdate(context.raw, out, &written, bytes->data() + kNonceBytes,
                                          static_cast<int>(length)) == 1 &&
                         EVP_CipherFinal_ex(context.raw, out + written, &rest) == 1;
  if (!authentic) {
    OPENSSL_cleanse(plain.data(), plain.size());
    corrupt();
  }
  return plain;
}

bool is_key_id(std::string_view id) {
  return !id.empty() && id.size() <= 32 &&
         id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

}  // namespace

std::unique_ptr<Cipher> make_cipher(std::string_view key_id, std::string_view secret) {
  // Neither value is repeated: a mix-up of the two arguments would print the secret.
  if (!is_key_id(key_id)) {
    throw ConfigError("cipher key id: other characters or length, expected [a-z0-9_-]{1,32}");
  }
  if (secret.empty()) throw ConfigError("cipher secret: empty, expected a secret");
  return std::make_unique<AesGcm>(key_id, secret);
}

std::string sha256_hex(std::string_view bytes) {
  const Digest digest = sha256(bytes);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string mac(32, '\0');
  unsigned length = 0;
  require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(),
               reinterpret_cast<unsigned char*>(mac.data()), &length) != nullptr &&
              length == mac.size(),
          "HMAC-SHA256");
  return mac;
}

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

std::string to_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes_of(bytes),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace rowcrew
