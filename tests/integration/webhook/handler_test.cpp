// The handler on a real database, and who may do what there.
#include <boost/asio/io_context.hpp>

#include <rowcrew/db_error.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/webhook_signature.hpp>

#include "pg/pool.hpp"
#include "support/kind_bench.hpp"
#include "webhook_bench.hpp"
#include "workers/webhook/webhook_handler.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// Runs the handler for the delivery of a job, with a receiver that answers 204.
struct Sender {
  explicit Sender(WebhookBench& bench) : b(bench) {}
  Outcome send(const std::string& delivery) {
    Pool pool(b.db.options(), kind.log);
    Deps deps{pool,       kind.ports,  kind.http, kind.mail, kind.children,
              kind.clock, kind.random, kind.log,  kind.kinds};
    webhook::WebhookHandler handler(deps);
    kind.http.answer(204);
    return kind.run(handler, R"({"delivery": ")" + delivery + "\"}");
  }
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : kind.http.requests.back().headers) {
      if (key == name) return value;
    }
    return "";
  }
  WebhookVerdict verdict(const std::string& secret) const {
    const std::vector<std::string> secrets = {secret};
    const std::string id = header("webhook-id");
    const std::string timestamp = header("webhook-timestamp");
    const std::string signature = header("webhook-signature");
    const WebhookDelivery delivery{id, timestamp, signature, kind.http.requests.back().body};
    const auto now = std::stoll(b.value("SELECT extract(epoch FROM rowcrew.clock())::bigint"));
    return verify_webhook(secrets, delivery, now);
  }

  WebhookBench& b;
  KindBench kind{""};
};

std::string delivery_id(WebhookBench& b) {
  b.emit("photo.ready", R"({"name": "na\u00efve"})");
  return b.value(
      "SELECT delivery_id FROM rowcrew.webhook_deliveries ORDER BY delivery_id DESC LIMIT 1");
}

/// Whether that role may run it; what it changes is undone.
bool may(WebhookBench& b, const std::string& role, const std::string& sql) {
  try {
    b.exec("BEGIN; SET LOCAL ROLE " + role + "; " + sql + "; ROLLBACK");
    return true;
  } catch (const DbError& e) {
    CAPTURE(e.what());
    CHECK(e.sqlstate() == "42501");
    return false;
  }
}

}  // namespace

TEST_CASE("handler: what the database holds is sent, signed so that a receiver can verify it") {
  WebhookBench b;
  b.endpoint("*");
  const std::string id = delivery_id(b);
  Sender sender(b);
  CHECK(std::holds_alternative<Completed>(sender.send(id)));
  const HttpRequest& request = sender.kind.http.requests.back();
  CHECK(request.url == "https://hooks.example/");
  CHECK(request.body == b.value("SELECT body FROM rowcrew.webhook_deliveries"));
  const char* const sent_as =
      "SELECT 'msg_' || replace(delivery_id::text, '-', '') FROM rowcrew.webhook_deliveries";
  CHECK(sender.header("webhook-id") == b.value(sent_as));
  CHECK(sender.verdict(kSecret) == WebhookVerdict::verified);
  CHECK(sender.verdict(kOldSecret) == WebhookVerdict::mismatch);
}

TEST_CASE("handler: both secrets sign until the old one's time is over") {
  WebhookBench b;
  b.endpoint("*");
  b.exec(std::string("UPDATE rowcrew.webhook_endpoints SET secret = '") + kOldSecret + "'");
  const std::string id = delivery_id(b);
  Sender sender(b);
  sender.send(id);
  CHECK(sender.verdict(kSecret) == WebhookVerdict::verified);
  CHECK(sender.verdict(kOldSecret) == WebhookVerdict::verified);
  b.exec("SELECT rowcrew.set_clock_offset('25 hours')");
  sender.send(id);
  CHECK(sender.verdict(kSecret) == WebhookVerdict::mismatch);
  CHECK(sender.verdict(kOldSecret) == WebhookVerdict::verified);
}

TEST_CASE("handler: disabled, deleted or unknown, nothing is sent") {
  WebhookBench b;
  b.endpoint("*");
  const std::string id = delivery_id(b);
  Sender sender(b);
  b.exec("UPDATE rowcrew.webhook_endpoints SET enabled = false");
  CHECK(std::get<Cancelled>(sender.send(id)).reason == "The endpoint is disabled.");
  b.exec("DELETE FROM rowcrew.webhook_endpoints");
  CHECK(std::get<Cancelled>(sender.send(id)).reason == "The endpoint was deleted.");
  b.exec("DELETE FROM rowcrew.webhook_deliveries");
  CHECK(std::get<Cancelled>(sender.send(id)).reason == "The delivery does not exist any more.");
  CHECK(sender.kind.http.requests.empty());
}

TEST_CASE("privileges: secrets are for nodes and the owner, operators set and never read them" * doctest::skip(as_bare_owner())) {
  WebhookBench b;
  b.endpoint("*");
  b.exec("GRANT rowcrew_worker, rowcrew_operator, rowcrew_viewer, rowcrew_app TO CURRENT_USER");
  const std::string secret = "SELECT secret FROM rowcrew.webhook_endpoints";
  CHECK(may(b, "rowcrew_worker", secret));
  CHECK(may(b, "rowcrew_owner", secret));
  for (const char* role : {"rowcrew_operator", "rowcrew_viewer", "rowcrew_app", "rowcrew_ingest"}) {
    CAPTURE(role);
    CHECK_FALSE(may(b, role, secret));
    CHECK_FALSE(may(b, role, "SELECT previous_secret FROM rowcrew.webhook_endpoints"));
    CHECK_FALSE(may(b, role, "SELECT * FROM rowcrew.webhook_endpoints"));
  }
  for (const std::string& sql :
       {std::string("SELECT endpoint_id, url, events, enabled, disabled_reason, failing_since "
                    "FROM rowcrew.webhook_endpoints"),
        std::string("INSERT INTO rowcrew.webhook_endpoints (url, events) "
                    "VALUES ('https://x.example/', '{*}')"),
        std::string("UPDATE rowcrew.webhook_endpoints SET enabled = false, secret = '") +
            kOldSecret + "' WHERE url LIKE 'https%'",
        std::string("UPDATE rowcrew.webhook_endpoints SET previous_secret = NULL"),
        std::string("DELETE FROM rowcrew.webhook_endpoints"),
        std::string("SELECT * FROM rowcrew.webhook_deliveries")}) {
    CAPTURE(sql);
    CHECK(may(b, "rowcrew_operator", sql));
  }
  CHECK_FALSE(may(b, "rowcrew_viewer", "SELECT * FROM rowcrew.webhook_deliveries"));
}

TEST_CASE("privileges: a node has the trigger and the port, and may write nothing itself" * doctest::skip(as_bare_owner())) {
  WebhookBench b;
  b.endpoint("*");
  b.exec("GRANT rowcrew_worker TO CURRENT_USER");
  const std::string event =
      "INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type) "
      "VALUES ('a.b', 'job_queue', rowcrew.uuid7(), 't')";
  CHECK(may(b, "rowcrew_worker", event));
  CHECK(may(b, "rowcrew_worker",
            event + "; SELECT rowcrew.webhook_ended(id, '{\"status\": \"failed\", "
                    "\"error_code\": \"endpoint_gone\"}') FROM rowcrew.job_queue"));
  for (const char* sql : {"UPDATE rowcrew.webhook_endpoints SET enabled = false",
                          "DELETE FROM rowcrew.webhook_endpoints",
                          "UPDATE rowcrew.webhook_deliveries SET status = 'failed'",
                          "DELETE FROM rowcrew.webhook_deliveries",
                          "SELECT rowcrew.webhook_judge_endpoint(NULL, false, true)"}) {
    CAPTURE(sql);
    CHECK_FALSE(may(b, "rowcrew_worker", sql));
  }
}
