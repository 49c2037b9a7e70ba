#include "base/cipher.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

using namespace rowcrew;

namespace {

std::string code_of(Cipher& cipher, const std::string& sealed) {
  try {
    cipher.open(sealed);
  } catch (const PermanentError& error) {
    return error.code();
  }
  return "opened";
}

}  // namespace

TEST_CASE("what was sealed opens to the same bytes") {
  const auto cipher = make_cipher("k1", "a secret");
  for (const std::string& plain : {std::string(), std::string("x"), std::string("tok\0en\xff", 7),
                                   std::string(100'000, 'y')}) {
    const std::string sealed = cipher->seal(plain);
    CHECK(sealed.starts_with("rc1:k1:"));
    CHECK(cipher->open(sealed) == plain);
  }
}

TEST_CASE("two seals of one value differ, and show nothing of it") {
  const auto cipher = make_cipher("k1", "a secret");
  const std::string one = cipher->seal("refresh-token");
  CHECK(one != cipher->seal("refresh-token"));
  CHECK(one.find("refresh") == std::string::npos);
}

TEST_CASE("the same key id and secret open in another process") {
  CHECK(make_cipher("k1", "s")->open(make_cipher("k1", "s")->seal("value")) == "value");
}

TEST_CASE("the format is stable: a value of an older release opens") {
  CHECK(make_cipher("k1", "correct horse")
            ->open("rc1:k1:AAECAwQFBgcICQoLfLOTEm4gQ0OQ1DOcTp0cnJaOYGecahKPtlAQ9W8=") ==
        "stored by 0.1");
}

TEST_CASE("every altered character is noticed") {
  const auto cipher = make_cipher("k1", "a secret");
  for (const char* plain : {"value", "values", "value of"}) {  // with 0, 2 and 1 characters padded
    const std::string sealed = cipher->seal(plain);
    for (std::size_t i = 0; i < sealed.size() * 2; ++i) {
      std::string altered = sealed;
      char& c = altered[i / 2];
      // Also its neighbour in the alphabet: in the last character that may be a bit of no meaning.
      c = i % 2 == 0 ? (c == 'A' ? 'B' : 'A') : static_cast<char>(c + 1);
      CAPTURE(altered);
      CHECK(code_of(*cipher, altered) != "opened");
    }
  }
}

TEST_CASE("truncated, foreign and padded texts are corrupt") {
  const auto cipher = make_cipher("k1", "a secret");
  const std::string sealed = cipher->seal("value");
  for (std::size_t length = 7; length < sealed.size(); ++length) {
    CAPTURE(length);
    CHECK(code_of(*cipher, sealed.substr(0, length)) == "cipher_corrupt");
  }
  for (const std::string& text :
       {std::string(), std::string("rc1:"), std::string("rc1:k1"), std::string("plain text"),
        std::string("rc2:k1:AAAA"), sealed + "=", sealed + " ", " " + sealed, sealed + "AAAA",
        "rc1:k1:    " + sealed.substr(7), sealed + "\n\n\n\n"}) {
    CAPTURE(text);
    CHECK(code_of(*cipher, text) == "cipher_corrupt");
  }
}

TEST_CASE("a value of another key id is told from a damaged one") {
  const auto old_key = make_cipher("k1", "a secret");
  const auto new_key = make_cipher("k2", "a secret");
  CHECK(code_of(*new_key, old_key->seal("value")) == "cipher_key");
  // Relabelled, it does not open either, though the secrets are equal.
  std::string relabelled = old_key->seal("value");
  relabelled.replace(0, 7, "rc1:k2:");
  CHECK(code_of(*new_key, relabelled) == "cipher_corrupt");
}

TEST_CASE("another secret under the same id does not open") {
  CHECK(code_of(*make_cipher("k1", "other"), make_cipher("k1", "one")->seal("v")) ==
        "cipher_corrupt");
}

TEST_CASE("a key id has up to 32 plain characters, a secret at least one") {
  CHECK_NOTHROW(make_cipher("az09_-", "s"));
  CHECK_NOTHROW(make_cipher(std::string(32, 'k'), "s"));
  for (const std::string& id : {std::string(), std::string(33, 'k'), std::string("K1"),
                                std::string("a:b"), std::string("a b"), std::string("é")}) {
    CAPTURE(id);
    CHECK_THROWS_AS(make_cipher(id, "s"), ConfigError);
  }
  CHECK_THROWS_AS(make_cipher("k1", ""), ConfigError);
}

TEST_CASE("SHA-256 is the known one") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("constant-time comparison compares") {
  CHECK(equal_constant_time("", ""));
  CHECK(equal_constant_time("token", "token"));
  CHECK_FALSE(equal_constant_time("token", "tokeN"));
  CHECK_FALSE(equal_constant_time("Token", "token"));
  CHECK_FALSE(equal_constant_time("token", "token1"));
  CHECK_FALSE(equal_constant_time("", "x"));
  CHECK_FALSE(equal_constant_time(std::string("a\0b", 3), std::string("a\0c", 3)));
}
