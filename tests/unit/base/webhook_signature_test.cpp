#include <rowcrew/webhook_signature.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <rowcrew/error.hpp>

using namespace rowcrew;
using Verdict = WebhookVerdict;

namespace {

using namespace std::chrono_literals;

const std::string kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string kOldSecret = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const std::string kId = "msg_018f2f6e7c5a7b3c9d1e2f3a4b5c6d7e";
constexpr std::int64_t kSent = 1767225600;
const std::string kBody =
    "{\"type\":\"job.completed\",\"timestamp\":\"2026-01-01T00:00:00Z\","
    "\"data\":{\"id\":\"42\",\"note\":\"na\u00efve \u2713\"}}";
const std::string kSignature = "v1,gSCu2XrsNSbUuVHgYCfWgjdvIkqBR5h+6E5caaOm0Wc=";
const std::string kOldSignature = "v1,/r5iCWHvq2SZp4ws1Ldhnh+e68WYaOTFMwOomx7Q1Bk=";
/// By the text of the secret instead of the bytes that it stands for.
const std::string kTextSignature = "v1,4b2Qn3zl4YliT0UKv48RP8sI1N9pcGCzDAn0zhrrpFM=";

/// The good delivery, one part of it replaced per test.
struct Sent {
  std::string id = kId;
  std::string timestamp = std::to_string(kSent);
  std::string signature = kSignature;
  std::string body = kBody;
  std::vector<std::string> secrets = {kSecret};
  std::int64_t now = kSent;

  Verdict verdict() const {
    return verify_webhook(secrets, WebhookDelivery{id, timestamp, signature, body}, now);
  }
};

Verdict with_signature(const std::string& signature) {
  Sent sent;
  sent.signature = signature;
  return sent.verdict();
}

std::string base64_of_zeros(std::size_t bytes) {
  return std::string(bytes / 3 * 4, 'A') + (bytes % 3 == 1 ? "AA==" : bytes % 3 == 2 ? "AAA=" : "");
}

}  // namespace

TEST_CASE("webhook signature: the published vectors") {
  CHECK(kBody.size() == 98);
  CHECK(sign_webhook(kSecret, kId, kSent, kBody) == kSignature);
  CHECK(sign_webhook(kOldSecret, kId, kSent, kBody) == kOldSignature);
  CHECK(sign_webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                     1614265330, R"({"test": 2432232314})") ==
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST_CASE("webhook secret: 24 to 64 bytes, in padded base64 behind whsec_") {
  CHECK(webhook_key(kSecret)->size() == 32);
  CHECK(webhook_key("whsec_" + base64_of_zeros(24))->size() == 24);
  CHECK(webhook_key("whsec_" + base64_of_zeros(64))->size() == 64);
  for (const std::string& text :
       {std::string(), std::string("whsec_"), kSecret.substr(6), "whsec_" + base64_of_zeros(23),
        "whsec_" + base64_of_zeros(65), kSecret.substr(0, kSecret.size() - 1), kSecret + "=",
        "WHSEC_" + kSecret.substr(6), kSecret + "\n", "whsec_" + std::string(32, '-'),
        "whsec_A===" + std::string(32, 'A'), "whsec_" + std::string(40, ' ')}) {
    CAPTURE(text);
    CHECK_FALSE(webhook_key(text).has_value());
  }
  try {
    sign_webhook("whsec_verysecretbutnokey", kId, kSent, kBody);
    FAIL("signed without a key");
  } catch (const PermanentError& e) {
    CHECK(e.code() == "webhook_secret");
    CHECK(std::string(e.what()).find("verysecret") == std::string::npos);
  }
}

TEST_CASE("verification: what was signed passes, with either secret while they rotate") {
  CHECK(Sent().verdict() == Verdict::verified);
  Sent rotated;
  rotated.secrets = {kOldSecret};
  CHECK(rotated.verdict() == Verdict::mismatch);
  rotated.signature = kSignature + " " + kOldSignature;
  CHECK(rotated.verdict() == Verdict::verified);
  Sent both;
  both.secrets = {kOldSecret, "no secret at all", kSecret};
  CHECK(both.verdict() == Verdict::verified);
}

TEST_CASE("verification: entries of other versions and junk are passed over") {
  CHECK(with_signature("v1,AAAA junk v1a,xyz=  " + kSignature) == Verdict::verified);
  CHECK(with_signature("v1a,xyz= v2,abc") == Verdict::no_signature);
  CHECK(with_signature("") == Verdict::no_signature);
  CHECK(with_signature(" ") == Verdict::no_signature);
  CHECK(with_signature(kSignature.substr(3)) == Verdict::no_signature);
  CHECK(with_signature("v1,") == Verdict::mismatch);
  CHECK(with_signature(kTextSignature) == Verdict::mismatch);
  CHECK(with_signature(kSignature + "x") == Verdict::mismatch);
}

TEST_CASE("verification: a changed byte of id, timestamp or body is noticed") {
  Sent sent;
  SUBCASE("id") { sent.id.back() = 'f'; }
  SUBCASE("timestamp") { sent.timestamp.back() = '1'; }
  SUBCASE("a timestamp spelt otherwise") { sent.timestamp.insert(0, "0"); }
  SUBCASE("body") { sent.body.back() = ']'; }
  SUBCASE("no body") { sent.body.clear(); }
  SUBCASE("secret") { sent.secrets = {kOldSecret}; }
  SUBCASE("no secret") { sent.secrets = {}; }
  CHECK(sent.verdict() == Verdict::mismatch);
}

TEST_CASE("verification: five minutes are tolerated, in both directions") {
  Sent sent;
  for (const std::int64_t late : {-300, 0, 300}) {
    sent.now = kSent + late;
    CHECK(sent.verdict() == Verdict::verified);
  }
  sent.now = kSent + 301;
  CHECK(sent.verdict() == Verdict::too_old);
  sent.now = kSent - 301;
  CHECK(sent.verdict() == Verdict::too_new);
}

TEST_CASE("verification: id and timestamp must be there and be what they are called") {
  for (const char* text :
       {"", "soon", "-1767225600", "1767225600.0", "99999999999999999999", "+1"}) {
    CAPTURE(text);
    Sent sent;
    sent.timestamp = text;
    CHECK(sent.verdict() == Verdict::no_timestamp);
  }
  for (const char* text : {"", "msg.1"}) {
    CAPTURE(text);
    Sent sent;
    sent.id = text;
    CHECK(sent.verdict() == Verdict::no_id);
  }
}
