#include "ingest/hook.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/webhook_signature.hpp>

#include "base/cipher.hpp"
#include "ingest/refused.hpp"

using namespace rowcrew;
using nlohmann::json;

namespace {

constexpr std::int64_t kNow = 1767225600;
const std::string kBody = R"({"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{"id":"in_1"}}})";
const std::string kRazorpay =
    R"({"entity":"event","event":"subscription.charged","contains":["subscription","payment"],"created_at":1767225600})";

Hook hook(HookScheme scheme, std::vector<std::string> secrets) {
  Hook made;
  made.name = "shop";
  made.scheme = scheme;
  made.secrets = std::move(secrets);
  return made;
}

ServerRequest sent(std::string body, HttpHeaders headers) {
  ServerRequest request;
  request.body = std::move(body);
  request.headers = std::move(headers);
  return request;
}

/// "401 bad_signature" or "400 bad_request"; the id when it is verified.
std::string verdict(const Hook& by, const ServerRequest& request, std::int64_t now = kNow) {
  try {
    return verify_hook(by, request, now).id;
  } catch (const Refused& refused) {
    return std::to_string(refused.status) + " " + refused.code();
  }
}

// Made by openssl dgst -sha256 -hmac, as Stripe does.
const std::string kGood = "4da3b95a08d36a075defc88e15d417a4990ed31cea34bb6872a635168c9d1498";
const std::string kByOld = "3574b613ac4376ba36b5d180fe9603f9438cc7ee1ce214e0fc98b4368116ec8e";

std::string stripe(const std::string& header, std::int64_t now = kNow, const std::string& body = kBody) {
  return verdict(hook(HookScheme::stripe, {"whsec_test_secret"}), sent(body, {{"Stripe-Signature", header}}), now);
}

}  // namespace

TEST_CASE("hook: Stripe's signature is taken, and nothing else") {
  CHECK(stripe("t=1767225600,v1=" + kGood) == "evt_1");
  CHECK(stripe("t=1767225600,v0=00,v1=" + std::string(64, '0') + ",v1=" + kGood + ",x=y") == "evt_1");
  for (const std::string& header :
       {std::string(), std::string("nonsense"), "v1=" + kGood, "t=,v1=" + kGood, "t=x,v1=" + kGood, std::string("t=1767225600"),
        "t=1767225600,v0=" + kGood, "t=1767225601,v1=" + kGood, "t=1767225600,v1=" + kByOld, "t=1767225600,v1=" + kGood.substr(1),
        "t=99999999999999999999,v1=" + kGood}) {
    CAPTURE(header);
    CHECK(stripe(header) == "401 bad_signature");
  }
  CHECK(stripe("t=1767225600,v1=" + kGood, kNow, kBody + " ") == "401 bad_signature");
}

TEST_CASE("hook: while a secret is rolled both sign") {
  const ServerRequest old = sent(kBody, {{"stripe-signature", "t=1767225600,v1=" + kByOld}});
  CHECK(verdict(hook(HookScheme::stripe, {"whsec_test_secret"}), old) == "401 bad_signature");
  CHECK(verdict(hook(HookScheme::stripe, {"whsec_test_secret", "whsec_old_secret"}), old) == "evt_1");
}

TEST_CASE("hook: what is signed is good for five minutes, either way") {
  const std::string header = "t=1767225600,v1=" + kGood;
  CHECK(stripe(header, kNow + 300) == "evt_1");
  CHECK(stripe(header, kNow + 301) == "401 bad_signature");
  CHECK(stripe(header, kNow - 300) == "evt_1");
  CHECK(stripe(header, kNow - 301) == "401 bad_signature");
}

TEST_CASE("hook: Standard Webhooks, GitHub, Razorpay and Shopify") {
  const std::string secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const HttpHeaders standard = {{"webhook-id", "msg_1"}, {"webhook-timestamp", std::to_string(kNow)},
                                {"webhook-signature", sign_webhook(secret, "msg_1", kNow, kBody)}};
  CHECK(verdict(hook(HookScheme::standard, {secret}), sent(kBody, standard)) == "msg_1");
  CHECK(verdict(hook(HookScheme::standard, {secret}), sent(kBody, standard), kNow + 301) == "401 bad_signature");

  // The vector of GitHub's documentation, which is no JSON: past the signature, that is what is wrong.
  const Hook github = hook(HookScheme::github, {"It's a Secret to Everybody"});
  const std::string mac = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  CHECK(verdict(github, sent("Hello, World!", {{"X-Hub-Signature-256", "sha256=" + mac}})) == "400 bad_request");
  CHECK(verdict(github, sent("Hello, World!", {{"X-Hub-Signature-256", mac}})) == "401 bad_signature");
  CHECK(verdict(github, sent("Hello, World?", {{"X-Hub-Signature-256", "sha256=" + mac}})) == "401 bad_signature");

  const Hook razorpay = hook(HookScheme::razorpay, {"rzp_webhook_secret"});
  const HttpHeaders signature = {
      {"X-Razorpay-Signature", "e9ef0f0deeab370d54998459d1eb343c7c90bc46e7a012bf0dad959b330deb70"}};
  CHECK(verify_hook(razorpay, sent(kRazorpay, signature), kNow).type == "subscription.charged");

  const Hook shopify = hook(HookScheme::shopify, {"s"});
  const HttpHeaders shop = {{"X-Shopify-Hmac-Sha256", to_base64(hmac_sha256("s", "{}"))}, {"X-Shopify-Topic", "orders/create"}};
  CHECK(verify_hook(shopify, sent("{}", shop), kNow).type == "orders/create");
}

TEST_CASE("hook: a recorded delivery under another id is the same event where ids are not signed") {
  const Hook razorpay = hook(HookScheme::razorpay, {"rzp_webhook_secret"});
  const auto with_id = [&](const char* id) {
    return verdict(razorpay, sent(kRazorpay, {{"X-Razorpay-Signature", "e9ef0f0deeab370d54998459d1eb343c7c90bc46e7a012bf0dad959b330deb70"},
                                              {"x-razorpay-event-id", id}}));
  };
  CHECK(with_id("a") == with_id("b"));
  CHECK(with_id("a") == "sha256:" + sha256_hex(kRazorpay));
}

TEST_CASE("hook: a signed body that is none is the sender's fault") {
  const Hook stripe_hook = hook(HookScheme::stripe, {"k"});
  const auto body = [&](const std::string& text) {
    const std::string mac = to_hex(hmac_sha256("k", std::to_string(kNow) + "." + text));
    return verdict(stripe_hook, sent(text, {{"Stripe-Signature", "t=" + std::to_string(kNow) + ",v1=" + mac}}));
  };
  for (const char* text : {"", "[]", "{", "null", R"({"type":"a"})", R"({"id":7})", R"({"id":""})", "{\"id\":\"\\u0000\"}"}) {
    CAPTURE(text);
    CHECK(body(text) == "400 bad_request");
  }
  // An id that is no word still tells one event from another.
  const std::string odd = std::string(300, 'x');
  CHECK(body(R"({"id":")" + odd + "\"}") == "sha256:" + sha256_hex(odd));
}

TEST_CASE("hook: a payload holds the event byte for byte, beside an entry or alone") {
  Hook by = hook(HookScheme::stripe, {});
  HookEvent event;
  event.id = "evt_1";
  event.type = "invoice.paid";
  const std::string body = R"({"n":18446744073709551616,"e":1e400})";
  CHECK(hook_payload(by, event, body) == R"({"id":"evt_1","type":"invoice.paid","event":)" + body + "}");
  by.entry = "stripe";
  CHECK(hook_payload(by, event, body) == R"({"entry":"stripe","args":{"id":"evt_1","type":"invoice.paid","event":)" + body + "}}");
}

TEST_CASE("hook: a type that is no word is none") {
  const Hook github = hook(HookScheme::github, {"s"});
  const auto type = [&](const std::string& header) {
    return verify_hook(github, sent("{}", {{"X-Hub-Signature-256", "sha256=" + to_hex(hmac_sha256("s", "{}"))}, {"X-GitHub-Event", header}}), kNow).type;
  };
  CHECK(type("push") == "push");
  CHECK(type("a b").empty());
  CHECK(type(std::string(200, 'x')).empty());
}
