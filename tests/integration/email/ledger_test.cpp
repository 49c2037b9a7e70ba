// The ledger of mails: the handler's statements and the ended port, on a database.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include <rowcrew/db_error.hpp>
#include <rowcrew/error.hpp>

#include "pg/pool.hpp"
#include "queue/retry_policy.hpp"
#include "support/db/login_role.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"
#include "workers/email/email_handler.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr const char* kOrder =
    R"({"to": "anna@mail.example", "template": "ready", "account": "42", "data": {"file": "x"}})";

std::string make_templates() {
  std::string path = "/tmp/rowcrew-ledger-XXXXXX";
  ::mkdtemp(path.data());
  for (const char* part : {"subject", "txt", "html"}) {
    std::ofstream(path + "/ready." + part) << "{{file}}\n";
  }
  return path;
}

class Scene {
 public:
  Scene()
      : bench("kinds:\n  email:\n    templates: " + folder_ + "\n"),
        pool(db.options(), bench.log),
        handler(Deps{pool, bench.ports, bench.http, bench.mail, bench.children, bench.clock,
                     bench.random, bench.log, bench.kinds}) {}
  ~Scene() { fs::remove_all(folder_); }

  /// A job with this payload; the handler's next run is an execution of it.
  void job(const std::string& payload, const std::string& app = "") {
    Params params;
    params.add(payload);
    params.add(app.empty() ? std::nullopt : std::optional<std::string>(app));
    bench.job.id = db.value(
        "INSERT INTO rowcrew.job_queue (job_type, payload, app) VALUES ('email', $1::jsonb, $2) "
        "RETURNING id",
        params);
    bench.job.app = app;
    payload_ = payload;
  }
  Outcome run() { return bench.run(handler, payload_); }
  void ended(const json& what) {
    Params params;
    params.add(bench.job.id).add(what.dump());
    db.query("SELECT rowcrew.email_ended($1::uuid, $2::jsonb)", params);
  }
  void completed(const Outcome& outcome, int attempt = 1) {
    ended({{"status", "completed"},
           {"attempt", attempt},
           {"result", json::parse(std::get<Completed>(outcome).result)},
           {"error_code", nullptr},
           {"error_message", nullptr}});
  }
  void failed(const std::string& status, int attempt, const std::string& code) {
    ended({{"status", status},
           {"attempt", attempt},
           {"result", nullptr},
           {"error_code", code},
           {"error_message", "because of " + code}});
  }
  /// The whole ledger, one row per line.
  std::string ledger() const {
    return db.value(
        "SELECT coalesce(string_agg(concat_ws('|', coalesce(app, '-'), coalesce(account, '-'), "
        "coalesce(recipient, '-'), coalesce(template, '-'), status, attempts, coalesce(error_code, "
        "'-'), "
        "coalesce(error_message, '-'), coalesce(transport, '-'), "
        "CASE WHEN sent_at IS NULL THEN 'not sent' ELSE 'sent' END), E'\\n'), '') "
        "FROM rowcrew.email_notifications");
  }

 private:
  std::string folder_ = make_templates();
  std::string payload_;

 public:
  TempDatabase db;
  KindBench bench;
  Pool pool;
  email::EmailHandler handler;
};

}  // namespace

TEST_CASE("email ledger: a mail is on record before it leaves, and sent when its job has ended") {
  Scene s;
  s.job(kOrder);
  const Outcome outcome = s.run();
  CHECK(s.ledger() == "-|42|anna@mail.example|ready|sending|0|-|-|-|not sent");
  s.completed(outcome);
  CHECK(s.ledger() == "-|42|anna@mail.example|ready|sent|1|-|-|maildir|sent");
  const json result = json::parse(std::get<Completed>(outcome).result);
  CHECK(s.db.value("SELECT message_id FROM rowcrew.email_notifications") == result["message_id"]);
  CHECK(s.bench.mail.mails.at(0).key + "@localhost.example" ==
        result["message_id"].get<std::string>());
}

TEST_CASE("email ledger: a mail of an adopted table's job has one row, whatever its key is") {
  Scene s;
  s.db.exec(
      "INSERT INTO rowcrew.adopted_table (name, rel, schema_name, table_name, map, columns, template, mode) "
      "VALUES ('shop_orders', 1, 'shop', 'orders', '{}', '{}', '{\"key_type\": \"bigint\"}', 'shadow')");
  s.job(kOrder);
  s.bench.job.table = "shop_orders";
  s.bench.job.id = "42";
  const Outcome outcome = s.run();
  s.bench.job.id = s.db.value("SELECT rowcrew.job_uuid('shop_orders', 42)");  // as the engine calls the port
  s.completed(outcome);
  CHECK(s.ledger() == "-|42|anna@mail.example|ready|sent|1|-|-|maildir|sent");
}

TEST_CASE("email ledger: every attempt sends the bytes of the first") {
  Scene s;
  s.job(kOrder);
  s.bench.mail.fail(TransientError("mail_timeout", "slow"));
  CHECK_THROWS_AS(s.run(), TransientError);
  s.failed("retrying", 1, "mail_timeout");
  CHECK(s.ledger() ==
        "-|42|anna@mail.example|ready|retrying|1|mail_timeout|because of mail_timeout|-|not sent");
  s.db.exec("SELECT rowcrew.set_clock_offset('3 hours')");
  const Outcome outcome = s.run();
  CHECK(s.ledger().find("|sending|1|") != std::string::npos);
  s.completed(outcome, 2);
  CHECK(s.ledger() == "-|42|anna@mail.example|ready|sent|2|-|-|maildir|sent");
  REQUIRE(s.bench.mail.mails.size() == 2);
  CHECK(s.bench.mail.mails[0].message == s.bench.mail.mails[1].message);
}

TEST_CASE("email ledger: a mail that fails for good, or is cancelled, says why") {
  Scene s;
  s.job(kOrder);
  s.bench.mail.fail(PermanentError("mail_refused", "no such person"));
  CHECK_THROWS_AS(s.run(), PermanentError);
  s.failed("failed", 1, "mail_refused");
  CHECK(s.ledger() ==
        "-|42|anna@mail.example|ready|failed|1|mail_refused|because of mail_refused|-|not sent");
  s.failed("cancelled", 1, "cancelled");
  CHECK(s.ledger().find("|cancelled|1|cancelled|") != std::string::npos);
}

TEST_CASE(
    "email ledger: a job that never became a mail has its row, too, and no more than the facts") {
  Scene s;
  s.job(
      R"({"to": "a@b.example\r\nBcc: c@d.example", "template": "ready", "data": {"secret": "s3"}})",
      "shop");
  CHECK_THROWS_AS(s.run(), PermanentError);
  CHECK(s.ledger() == "");
  s.failed("failed", 1, "bad_address");
  CHECK(s.ledger() ==
        "shop|-|a@b.example\r\nBcc: c@d.example|ready|failed|1|bad_address|"
        "because of bad_address|-|not sent");
  CHECK(s.db.value("SELECT message_id IS NULL FROM rowcrew.email_notifications") == "t");
}

TEST_CASE("email ledger: payloads that are nothing like a mail do not hinder their job's end") {
  Scene s;
  for (const std::string& payload :
       {std::string("{}"), std::string("[]"), std::string("7"), std::string("null"),
        std::string(R"({"to": {"a": 1}, "template": 5})"),
        "{\"to\": \"" + std::string(100'000, 'x') + "\"}"}) {
    CAPTURE(payload.substr(0, 40));
    s.db.exec("TRUNCATE rowcrew.email_notifications");
    s.job(payload);
    s.failed("failed", 1, "bad_payload");
    CHECK(s.db.value("SELECT count(*) FROM rowcrew.email_notifications WHERE "
                     "length(coalesce(recipient, '')) <= 300") == "1");
  }
  s.db.exec("TRUNCATE rowcrew.email_notifications");
  s.bench.job.id = "018f4e2a-0000-7000-8000-00000000dead";  // a job that is gone
  s.failed("failed", 3, "poison");
  CHECK(s.ledger() == "-|-|-|-|failed|3|poison|because of poison|-|not sent");
}

TEST_CASE("email ledger: a mail that nobody wants is suppressed, not cancelled") {
  Scene s;
  s.db.exec(
      "CREATE OR REPLACE FUNCTION rowcrew.email_allowed(p_account text, p_template text) RETURNS "
      "boolean "
      "LANGUAGE sql STABLE AS $$ SELECT CASE p_account WHEN '42' THEN p_template <> 'ready' END "
      "$$");
  s.job(kOrder);
  CHECK(std::holds_alternative<Cancelled>(s.run()));
  CHECK(s.bench.mail.mails.empty());
  s.failed("cancelled", 1, "cancelled");
  CHECK(s.ledger() ==
        "-|42|anna@mail.example|ready|suppressed|1|cancelled|because of cancelled|-|not sent");

  SUBCASE("an account that the app does not know wants none either") {
    s.db.exec("TRUNCATE rowcrew.email_notifications");
    s.job(R"({"to": "b@c.example", "template": "other", "account": "43"})");
    CHECK_THROWS_AS(s.run(), PermanentError);  // unknown template comes first
    s.job(R"({"to": "b@c.example", "template": "ready", "data": {"file": "x"}, "account": "43"})");
    CHECK(std::holds_alternative<Cancelled>(s.run()));
  }
  SUBCASE("it is sent when the job is run again after the account has changed its mind") {
    s.db.exec(
        "CREATE OR REPLACE FUNCTION rowcrew.email_allowed(p_account text, p_template text) RETURNS "
        "boolean "
        "LANGUAGE sql STABLE AS $$ SELECT true $$");
    const Outcome outcome = s.run();
    s.completed(outcome, 2);
    CHECK(s.ledger() == "-|42|anna@mail.example|ready|sent|2|-|-|maildir|sent");
  }
}

TEST_CASE("email ledger: a mail whose job is cancelled while it waits waits no more") {
  Scene s;
  s.job(kOrder);
  s.bench.mail.fail(TransientError("mail_busy", "greylisted"));
  CHECK_THROWS_AS(s.run(), TransientError);
  s.failed("retrying", 1, "mail_busy");
  s.db.exec("UPDATE rowcrew.job_queue SET status = 'cancelled' WHERE id = '" + s.bench.job.id + "'");
  CHECK(s.ledger() ==
        "-|42|anna@mail.example|ready|cancelled|1|cancelled|The mail was cancelled while it waited.|-|not sent");
}

TEST_CASE("email ledger: a late attempt does not take back what was sent") {
  Scene s;
  s.job(kOrder);
  s.completed(s.run());
  s.run();  // of a node that has lost its claim: nobody calls the port for it
  CHECK(s.ledger() == "-|42|anna@mail.example|ready|sent|1|-|-|maildir|sent");
}

TEST_CASE("email: a relay that is away for a quarter of an hour costs no mail") {
  const TempDatabase db;
  RetryPolicy policy;
  const auto ms = [&](const char* column) {
    return std::chrono::milliseconds(std::stoll(db.value("SELECT " + std::string(column) + " FROM rowcrew.job_type WHERE name = 'email'")));
  };
  policy.base = ms("backoff_base_ms");
  policy.cap = ms("backoff_cap_ms");
  const int attempts = std::stoi(db.value("INSERT INTO rowcrew.job_queue (job_type) VALUES ('email') RETURNING max_attempts"));
  std::chrono::milliseconds waited{0};
  for (int attempt = 1; attempt < attempts; ++attempt) waited += policy.delay(attempt, 0.25);  // half the usual wait
  CHECK(waited > 15min);
}

TEST_CASE("email ledger: message ids are those of RFC 4648, and differ from key to key") {
  const TempDatabase db;
  CHECK(db.value("SELECT rowcrew.email_message_id('default/send_email/42', 'a.example')") ==
        "hjn3qx2wk4qo2io3q5uaxbavphmgg47h@a.example");
  CHECK(db.value("SELECT count(DISTINCT rowcrew.email_message_id('k' || i, 'a')) FROM "
                 "generate_series(1, 1000) i") == "1000");
}

TEST_CASE("email ledger: nodes may do what the kind does, the app and viewers see nothing" * with_roles()) {
  const TempDatabase db;
  const LoginRole node(db, "rowcrew_worker");
  node.query(
      "INSERT INTO rowcrew.email_notifications (job_id, status, message_id) "
      "VALUES (rowcrew.uuid7(), 'sending', rowcrew.email_message_id('k', 'a')) "
      "ON CONFLICT (job_id) DO UPDATE SET status = EXCLUDED.status");
  node.query("SELECT rowcrew.email_ended(rowcrew.uuid7(), '{\"status\": \"failed\", \"attempt\": 1}')");
  node.query("SELECT rowcrew.email_allowed('a', 't')");
  CHECK(db.value("SELECT count(*) FROM rowcrew.email_notifications") == "2");
  CHECK(node.failure("DELETE FROM rowcrew.email_notifications") == "42501");
  for (const char* role : {"rowcrew_app", "rowcrew_viewer", "rowcrew_ingest"}) {
    CAPTURE(role);
    const LoginRole login(db, role);
    CHECK(login.failure("SELECT FROM rowcrew.email_notifications") == "42501");
    CHECK(login.failure("SELECT rowcrew.email_ended(NULL, '{\"status\": \"failed\"}')") == "42501");
  }
}

TEST_CASE("email ledger: the port has the signature that the engine calls") {
  const TempDatabase db;
  CHECK(db.value("SELECT count(*) FROM rowcrew.port_function WHERE port = 'email_ended' AND fault "
                 "IS NULL") == "1");
}
