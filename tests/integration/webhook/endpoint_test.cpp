// What an endpoint may be, and what the ended port does to it and to deliveries.
#include <rowcrew/db_error.hpp>

#include "webhook_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr const char* kDelivered =
    R"({"status": "completed", "attempt": 1, "result": {"status": 204}})";

std::string failure(const std::string& status, int attempt, const std::string& code,
                    const std::string& message) {
  return R"({"status": ")" + status + R"(", "attempt": )" + std::to_string(attempt) +
         R"(, "max_attempts": 10, "result": null, "error_code": ")" + code +
         R"(", "error_message": ")" + message + R"(", "duration_ms": 12, "retry_after_ms": 5000})";
}

void shift_clock(WebhookBench& b, const std::string& by) {
  b.exec("SELECT rowcrew.set_clock_offset('" + by + "')");
}

}  // namespace

TEST_CASE("endpoint: only URLs, events and secrets that make sense are taken") {
  WebhookBench b;
  const std::string insert = "INSERT INTO rowcrew.webhook_endpoints (url, events, secret) VALUES ";
  for (const char* values :
       {"('ftp://x.example/', '{*}', DEFAULT)", "('https://', '{*}', DEFAULT)",
        "('https://x.example/a b', '{*}', DEFAULT)", "('https://x.example/', '{}', DEFAULT)",
        "('https://x.example/', '{job}', DEFAULT)", "('https://x.example/', '{*,NULL}', DEFAULT)",
        "('https://x.example/', '{job.*}', DEFAULT)", "('https://x.example/', '{*}', 'secret')",
        "('https://x.example/', '{*}', 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=')",
        "('https://x.example/', '{*}', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=')"}) {
    CAPTURE(values);
    CHECK_THROWS_AS(b.exec(insert + values), DbError);
  }
  b.exec(insert + "('https://x.example/', '{*}', DEFAULT), "
                  "('HTTP://x.example:8080/?k=v', '{a.b,c.d_e}', DEFAULT)");
  CHECK(b.count("webhook_endpoints WHERE secret ~ '^whsec_[A-Za-z0-9+/]{43}=$'") == 2);
  CHECK(b.value("SELECT count(DISTINCT secret) FROM rowcrew.webhook_endpoints") == "2");
}

TEST_CASE("endpoint: a new secret keeps the old one for a day") {
  WebhookBench b;
  b.endpoint("*");
  b.exec(std::string("UPDATE rowcrew.webhook_endpoints SET secret = '") + kOldSecret + "'");
  CHECK(b.count(std::string("webhook_endpoints WHERE previous_secret = '") + kSecret +
                "' AND previous_secret_until BETWEEN rowcrew.clock() + interval '23 hours' "
                "AND rowcrew.clock() + interval '24 hours'") == 1);
  b.exec("UPDATE rowcrew.webhook_endpoints SET events = '{a.b}'");
  CHECK(b.count(std::string("webhook_endpoints WHERE previous_secret = '") + kSecret + "'") == 1);
}

TEST_CASE("ended: a success is noted with status and excerpt, and ends a row of failures") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  b.ended(job, failure("retrying", 1, "http_503", "endpoint x.example:80: The receiver answered 503 and said: down"));
  CHECK(b.delivery(job) == "retrying|1|503|down|http_503|The receiver answered 503.|not delivered");
  CHECK(b.endpoint_state() == "enabled failing");
  b.ended(job, R"({"status": "completed", "attempt": 2,
                   "result": {"status": 200, "excerpt": "thanks"}})");
  CHECK(b.delivery(job) == "delivered|2|200|thanks|-|-|delivered");
  CHECK(b.endpoint_state() == "enabled");
}

TEST_CASE("ended: failures are noted with what they were") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  b.ended(job, failure("retrying", 3, "http_timeout", "No answer."));
  CHECK(b.delivery(job) == "retrying|3|-|-|http_timeout|No answer.|not delivered");
  b.ended(job, failure("failed", 10, "http_404", "The receiver answered 404."));
  CHECK(b.delivery(job) == "failed|10|404|-|http_404|The receiver answered 404.|not delivered");
  b.ended(job, failure("cancelled", 10, "cancelled", "The endpoint is disabled."));
  CHECK(b.delivery(job) == "cancelled|10|-|-|cancelled|The endpoint is disabled.|not delivered");
}

TEST_CASE("ended: 410 disables the endpoint, and with it the subscription") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  b.ended(job, failure("failed", 1, "endpoint_gone", "It answered 410 (gone) and said: bye"));
  CHECK(b.delivery(job) ==
        "failed|1|410|bye|endpoint_gone|It answered 410 (gone).|not delivered");
  CHECK(b.endpoint_state() == "disabled: The receiver answered 410: it wants no more events.");
  CHECK(b.count("webhook_endpoints WHERE disabled_at IS NOT NULL") == 1);
  CHECK(b.count("event_subscription") == 0);
  b.exec("UPDATE rowcrew.webhook_endpoints SET enabled = true");
  CHECK(b.endpoint_state() == "enabled");
  CHECK(b.count("webhook_endpoints WHERE disabled_at IS NULL AND disabled_reason IS NULL") == 1);
}

TEST_CASE("ended: five days of failures without a success disable the endpoint") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  const std::string report = failure("retrying", 1, "http_connect", "Refused.");
  b.ended(job, report);
  shift_clock(b, "4 days 23 hours");
  b.ended(job, report);
  CHECK(b.endpoint_state() == "enabled failing");
  SUBCASE("none") {
    shift_clock(b, "5 days 1 minute");
    b.ended(job, report);
    CHECK(b.endpoint_state() == "disabled: No delivery has succeeded for 5 days.");
  }
  SUBCASE("a success starts the clock anew") {
    b.ended(job, kDelivered);
    CHECK(b.endpoint_state() == "enabled");
    b.ended(job, report);
    shift_clock(b, "9 days");
    b.ended(job, report);
    CHECK(b.endpoint_state() == "enabled failing");
  }
}

TEST_CASE("ended: our own trouble is not the endpoint's") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  for (const char* code :
       {"db_lost", "db_57P01", "timeout", "exception", "bad_payload", "cancelled"}) {
    b.ended(job, failure("retrying", 1, code, "Hm."));
    CHECK(b.endpoint_state() == "enabled");
  }
  b.ended(job, failure("failed", 1, "endpoint_forbidden", "Nothing was sent."));
  CHECK(b.endpoint_state() == "enabled failing");
}

TEST_CASE("ended: a job that is cancelled while it waits takes its delivery along") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  const std::string other = b.delivery_job();
  b.exec("UPDATE rowcrew.job_queue SET status = 'cancelled' WHERE id = '" + job + "'");
  CHECK(b.delivery(job) == "cancelled|0|-|-|cancelled|The delivery was cancelled while it waited.|"
                           "not delivered");
  CHECK(b.delivery(other).starts_with("pending|"));
  b.exec("INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('webhook', '{\"delivery\": 5}')");
  b.exec("UPDATE rowcrew.job_queue SET status = 'cancelled'");
  CHECK(b.delivery(other).starts_with("cancelled|"));
}

TEST_CASE("ended: a delivery that was enqueued in capital letters learns what became of it") {
  WebhookBench b;
  b.endpoint("*");
  const std::string sent = b.delivery_job();
  const std::string cancelled = b.delivery_job();
  b.exec("UPDATE rowcrew.job_queue SET payload = jsonb_build_object('delivery', upper(payload ->> 'delivery'))");
  b.ended(sent, kDelivered);
  CHECK(b.delivery(sent).starts_with("delivered|"));
  b.exec("UPDATE rowcrew.job_queue SET status = 'cancelled' WHERE id = '" + cancelled + "'");
  CHECK(b.delivery(cancelled).starts_with("cancelled|"));
}

TEST_CASE("ended: odd reports and odd jobs are passed over, never refused") {
  WebhookBench b;
  b.endpoint("*");
  const std::string job = b.delivery_job();
  const std::string before = b.delivery(job);
  for (const char* report :
       {"{}", "[]", "null", "5", "\"x\"", R"({"status": 5})", R"({"status": "done"})"}) {
    CAPTURE(report);
    b.ended(job, report);
    CHECK(b.delivery(job) == before);
  }
  b.value("SELECT rowcrew.webhook_ended(NULL, NULL)");
  b.ended("018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7e", kDelivered);
  for (const char* payload : {"{}", "[]", "5", R"({"delivery": 5})", R"({"delivery": "x"})",
                              R"({"delivery": "018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7e"})"}) {
    CAPTURE(payload);
    b.ended(b.value("INSERT INTO rowcrew.job_queue (job_type, payload) "
                    "VALUES ('webhook', $1::jsonb) RETURNING id",
                    Params().add(payload)),
            kDelivered);
  }
  CHECK(b.delivery(job) == before);
  for (const char* report :
       {R"({"status": "completed", "attempt": "many", "result": "fine"})",
        R"({"status": "completed", "attempt": -1, "result": [1]})",
        R"({"status": "completed", "attempt": 1e300,
            "result": {"status": "x", "excerpt": {"a": 1}}})",
        R"({"status": "failed", "error_code": "http_99999999999", "error_message": 7})",
        R"({"status": "retrying", "error_code": {"a": []}, "error_message": " and said: "})"}) {
    CAPTURE(report);
    CHECK_NOTHROW(b.ended(job, report));
  }
  b.exec("DELETE FROM rowcrew.webhook_endpoints");
  CHECK_NOTHROW(b.ended(job, kDelivered));
  CHECK(b.delivery(job).starts_with("delivered|1|204"));
}
