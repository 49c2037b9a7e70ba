#include "cli/listen_ledger.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace rowcrew;
using cli::ListenLedger;
using cli::ListenRules;

namespace {

using namespace std::chrono_literals;

const std::string kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr std::int64_t kSent = 1767225600;
const std::chrono::sys_seconds kNow{std::chrono::seconds(kSent)};
constexpr const char* kBody = R"({"type":"job.completed","data":{}})";

ServerRequest signed_request(const std::string& id, const std::string& body = kBody) {
  ServerRequest request;
  request.method = "POST";
  request.path = "/";
  request.body = body;
  request.headers = {{"Webhook-Id", id},
                     {"Webhook-Timestamp", std::to_string(kSent)},
                     {"Webhook-Signature", sign_webhook(kSecret, id, kSent, body)}};
  return request;
}

ListenRules rules() {
  ListenRules made;
  made.secrets = {kSecret};
  return made;
}

}  // namespace

TEST_CASE("listen: a good delivery is answered 204, with when, what, which and the verdict") {
  ListenLedger ledger(rules());
  const auto answer = ledger.take(signed_request("msg_1"), kNow);
  CHECK(answer.status == 204);
  CHECK(answer.line == "2026-01-01T00:00:00.000Z job.completed msg_1 verified");
  CHECK(ledger.deliveries() == 1);
  CHECK(ledger.summary() == "1 deliveries: 1 verified, 0 repeated, 0 refused");
}

TEST_CASE("listen: an id that came before is told with its number") {
  ListenLedger ledger(rules());
  ledger.take(signed_request("msg_1"), kNow);
  ledger.take(signed_request("msg_2"), kNow);
  CHECK(ledger.take(signed_request("msg_1"), kNow).line.ends_with(
      "msg_1 verified, delivery 2 of this id"));
  CHECK(ledger.take(signed_request("msg_1"), kNow).line.ends_with("delivery 3 of this id"));
  CHECK(ledger.summary() == "4 deliveries: 4 verified, 2 repeated, 0 refused");
}

TEST_CASE("listen: a bad delivery is answered 401, with the reason") {
  ListenLedger ledger(rules());
  ServerRequest request = signed_request("msg_1");
  auto now = kNow;
  std::string reason;
  SUBCASE("changed body") {
    request.body += " ";
    reason = "job.completed msg_1 the signature is not by this secret over these bytes";
  }
  SUBCASE("old") {
    now += 301s;
    reason = "the timestamp is too old";
  }
  SUBCASE("no headers") {
    request.headers.clear();
    reason = "job.completed - no usable webhook-id";
  }
  SUBCASE("a header twice") {
    request.headers.push_back(request.headers[0]);
    reason = "no usable webhook-id";
  }
  SUBCASE("no JSON") {
    request.body = "\x1b[2J";
    reason = "Z - msg_1 the signature is not by this secret over these bytes";
  }
  const auto answer = ledger.take(request, now);
  CHECK(answer.status == 401);
  CAPTURE(answer.line);
  CHECK(answer.line.ends_with(reason));
  CHECK(ledger.summary() == "1 deliveries: 0 verified, 0 repeated, 1 refused");
}

TEST_CASE("listen: a forged line cannot be smuggled in by type or id") {
  ListenLedger ledger(rules());
  const auto line =
      ledger.take(signed_request("msg_\n1", R"({"type":"a\nb\u001b[0m"})"), kNow).line;
  CHECK(line.find('\n') == line.npos);
  CHECK(line.find('\x1b') == line.npos);
}

TEST_CASE("listen: the first so many are answered 503 and verified all the same") {
  ListenRules failing = rules();
  failing.fail_first = 2;
  ListenLedger ledger(failing);
  CHECK(ledger.take(signed_request("msg_1"), kNow).status == 503);
  const auto second = ledger.take(signed_request("msg_1"), kNow);
  CHECK(second.status == 503);
  CHECK(second.line.ends_with("verified, delivery 2 of this id, answered 503 as asked"));
  CHECK(ledger.take(signed_request("msg_1"), kNow).status == 204);
}

TEST_CASE("listen: what is no POST is no delivery") {
  ListenLedger ledger(rules());
  ServerRequest request = signed_request("msg_1");
  request.method = "GET";
  const auto answer = ledger.take(request, kNow);
  CHECK(answer.status == 405);
  CHECK(answer.line.empty());
  CHECK(ledger.deliveries() == 0);
}

TEST_CASE("listen: with --json lines and summary are objects") {
  ListenRules machine = rules();
  machine.json = true;
  ListenLedger ledger(machine);
  CHECK(nlohmann::json::parse(ledger.take(signed_request("msg_1"), kNow).line) ==
        nlohmann::json::parse(R"({"time":"2026-01-01T00:00:00.000Z","status":204,"id":"msg_1",
          "type":"job.completed","verified":true,"verdict":"verified","times":1})"));
  CHECK(nlohmann::json::parse(ledger.summary()) ==
        nlohmann::json::parse(R"({"deliveries":1,"verified":1,"repeated":0,"refused":0})"));
}
