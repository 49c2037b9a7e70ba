// How events become deliveries and jobs.
#include <nlohmann/json.hpp>

#include <rowcrew/db_error.hpp>

#include "webhook_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using nlohmann::json;

namespace {

constexpr const char* kEvents =
    "INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type) ";

}  // namespace

TEST_CASE("fan-out: without an endpoint an event costs nothing and leaves nothing") {
  WebhookBench b;
  b.emit("photo.ready");
  b.exec(std::string(kEvents) +
         "SELECT 'job.completed', 'job_queue', rowcrew.uuid7(), 't' WHERE false");
  CHECK(b.count("webhook_deliveries") == 0);
  CHECK(b.count("job_queue") == 0);
  b.endpoint("*", "enabled", "false");
  b.emit("photo.ready");
  CHECK(b.count("webhook_deliveries") == 0);
}

TEST_CASE("fan-out: one delivery and one job for every event and endpoint that wants it") {
  WebhookBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('photos', 'photos')");
  const std::string all = b.endpoint("*");
  const std::string own = b.endpoint("photo.ready,photo.failed", "app", "'photos'");
  b.endpoint("job.failed");
  b.emit("photo.ready", R"({"photo": 7})");
  b.emit("other.event");
  CHECK(b.deliveries() == "other.event>- photo.ready>- photo.ready>photos");
  CHECK(b.count("job_queue WHERE job_type = 'webhook' AND queue = 'default' AND max_attempts = 10 "
                "AND status = 'pending'") == 3);
  CHECK(b.count("job_queue_ready") == 3);
  CHECK(b.count("job_unique") == 3);
  CHECK(b.count("job_queue j JOIN rowcrew.webhook_deliveries d ON d.job_id = j.id "
                "AND j.payload = jsonb_build_object('delivery', d.delivery_id) "
                "AND j.unique_key = 'webhook:' || d.delivery_id "
                "JOIN rowcrew.webhook_endpoints e USING (endpoint_id) "
                "WHERE j.app IS NOT DISTINCT FROM e.app AND d.status = 'pending'") == 3);
  CHECK(b.count("webhook_deliveries WHERE endpoint_id = '" + all + "'") == 2);
  CHECK(b.count("webhook_deliveries WHERE endpoint_id = '" + own + "'") == 1);
}

TEST_CASE("fan-out: the body is frozen JSON with type, time and the event's data") {
  WebhookBench b;
  b.endpoint("*");
  b.emit("photo.ready", R"({"account": "7", "name": "na\u00efve \"x\"", "job_id": "mine"})");
  const std::string text = b.value("SELECT body FROM rowcrew.webhook_deliveries");
  const json body = json::parse(text);
  CHECK(text.starts_with(R"({"type":"photo.ready","timestamp":")"));
  CHECK(body.at("timestamp").get<std::string>() ==
        b.value("SELECT to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM rowcrew.job_event"));
  CHECK(body.at("data") == json({{"account", "7"},
                                 {"name", "na\u00efve \"x\""},
                                 {"job_table", "job_queue"},
                                 {"job_type", "generation"},
                                 {"job_id", b.value("SELECT job_id FROM rowcrew.job_event")}}));
  b.exec("TRUNCATE rowcrew.webhook_deliveries");
  b.emit("photo.ready", "[1, 2]");
  const json listed = json::parse(b.value("SELECT body FROM rowcrew.webhook_deliveries"));
  CHECK(listed.at("data").at("value") == json::array({1, 2}));
}

TEST_CASE("fan-out: rows reach it by multi-row insert, in partitions of other weeks, too") {
  WebhookBench b;
  b.endpoint("*");
  b.exec(std::string(kEvents) +
         "SELECT 'job.completed', 'job_queue', rowcrew.uuid7(), 't' FROM generate_series(1, 50)");
  CHECK(b.count("webhook_deliveries") == 50);
  b.exec("INSERT INTO rowcrew.job_event (at, event, job_table, job_id, job_type) "
         "SELECT rowcrew.clock() + n * interval '7 days', 'job.failed', 'job_queue', "
         "rowcrew.uuid7(), 't' FROM generate_series(-2, 2) AS n");
  CHECK(b.count("webhook_deliveries") == 55);
  CHECK(std::stoi(b.value("SELECT count(DISTINCT tableoid) FROM rowcrew.job_event")) >= 3);
}

TEST_CASE("fan-out: deliveries and jobs come and go with the transaction of the event") {
  WebhookBench b;
  b.endpoint("*");
  const std::string both =
      "SELECT rowcrew.emit('photo.ready', '{}', 'job_queue', rowcrew.uuid7(), 'x');"
      "SELECT 1 / (SELECT count(*) - 1 FROM rowcrew.webhook_deliveries)";  // there is one
  CHECK_THROWS_AS(b.exec(both), DbError);
  CHECK(b.count("job_event") == 0);
  CHECK(b.count("webhook_deliveries") == 0);
  CHECK(b.count("job_queue") == 0);
  CHECK(b.count("job_unique") == 0);
}

TEST_CASE("fan-out: an account's endpoint hears of its own account only") {
  WebhookBench b;
  b.endpoint("*", "account", "'7'");
  b.endpoint("photo.ready", "account", "'8'");
  b.emit("photo.ready", R"({"account": "7"})");
  b.emit("photo.ready", R"({"account": "8"})");
  b.emit("photo.ready", R"({"account": 8})");  // a number is the same account
  b.emit("photo.lost", R"({"account": "8"})");
  b.emit("photo.ready", R"({"account": "9"})");
  b.emit("photo.ready", R"({})");
  b.emit("photo.ready", R"({"account": null})");
  CHECK(b.deliveries() == "photo.ready>7 photo.ready>8 photo.ready>8");
}

TEST_CASE("fan-out: an app's endpoint hears of its own jobs only") {
  WebhookBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('a', 'a')");
  b.endpoint("*", "app", "'a'");
  b.emit("photo.ready");  // the only app
  CHECK(b.count("webhook_deliveries") == 1);
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('b', 'b')");
  b.endpoint("*", "app", "'b'");
  b.emit("photo.ready");  // nobody knows whose
  CHECK(b.count("webhook_deliveries") == 1);
  for (const char* app : {"a", "b"}) {
    const std::string values = std::string("VALUES ('t', '") + app + "')";
    b.exec("INSERT INTO rowcrew.job_queue (job_type, app) " + values);
    b.exec("INSERT INTO rowcrew.processing_jobs (type, app) " + values);
  }
  b.exec("TRUNCATE rowcrew.webhook_deliveries");
  b.exec("SELECT rowcrew.emit('job.done', '{}', 'processing_jobs', id, 't') "
         "FROM rowcrew.processing_jobs");
  b.exec("SELECT rowcrew.emit('job.done', '{}', 'job_queue', id, 't') "
         "FROM rowcrew.job_queue WHERE job_type = 't'");
  CHECK(b.deliveries() == "job.done>a job.done>a job.done>b job.done>b");
}

TEST_CASE("fan-out: whose an event is is looked up once, however many apps have endpoints") {
  WebhookBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) SELECT n, n FROM (SELECT 'app' || n AS n FROM generate_series(1, 40) n) a");
  b.exec("INSERT INTO rowcrew.webhook_endpoints (url, events, app) SELECT 'https://hooks.example/', '{job.done}', 'app' || (1 + n % 40) FROM generate_series(1, 500) n");
  b.exec("INSERT INTO rowcrew.job_queue (job_type, app) SELECT 't', 'app' || n FROM generate_series(1, 40) n");
  b.exec("CREATE SEQUENCE public.asked; GRANT USAGE ON SEQUENCE public.asked TO PUBLIC; CREATE OR REPLACE FUNCTION rowcrew.webhook_event_app(p_job_table text, p_job_id uuid) RETURNS text"
         " LANGUAGE sql VOLATILE AS $$ SELECT j.app FROM rowcrew.job_queue j, nextval('public.asked') WHERE j.id = p_job_id $$");
  b.exec("INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data) SELECT 'job.done', 'job_queue', id, 't', '{}' FROM rowcrew.job_queue");
  CHECK(b.count("webhook_deliveries") == 500);
  CHECK(b.value("SELECT last_value FROM public.asked") == "40");
}

TEST_CASE("fan-out: an adopted table's events reach its app's endpoint, and name the row") {
  WebhookBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('a', 'a'), ('b', 'b')");
  b.exec(
      "INSERT INTO rowcrew.adopted_table (name, rel, schema_name, table_name, app, map, columns, template, mode) "
      "VALUES ('shop_orders', 1, 'shop', 'orders', 'b', '{}', '{}', '{}', 'shadow')");
  for (const char* app : {"'a'", "'b'"}) b.endpoint("*", "app", app);
  b.exec(
      "INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type) "
      "VALUES ('job.completed', 'shop_orders', rowcrew.job_uuid('shop_orders', 42), '42', 't')");
  CHECK(b.deliveries() == "job.completed>b");
  const auto data = json::parse(b.value("SELECT body FROM rowcrew.webhook_deliveries")).at("data");
  CHECK(data.at("job_key") == "42");
}

TEST_CASE("fan-out: webhook jobs' own events are delivered to nobody, so that no loop can start") {
  WebhookBench b;
  b.endpoint("*");
  b.endpoint("job.completed,job.failed,photo.ready");
  for (const char* event : {"job.completed", "job.failed", "job.cancelled", "photo.ready"}) {
    b.emit(event, "{}", "webhook");
  }
  CHECK(b.count("webhook_deliveries") == 0);
  b.exec(std::string(kEvents) +
         "VALUES ('job.completed', 'job_queue', rowcrew.uuid7(), 'webhook'),"
         "('job.completed', 'job_queue', rowcrew.uuid7(), 't')");
  CHECK(b.count("webhook_deliveries") == 2);
}

TEST_CASE("subscription: it follows what endpoints want from the engine") {
  WebhookBench b;
  const auto wanted = [&] {
    return b.value(
        "SELECT coalesce(string_agg(array_to_string(events, ','), ' ' ORDER BY name), 'none') "
        "FROM rowcrew.event_subscription");
  };
  CHECK(wanted() == "none");
  b.endpoint("photo.ready");
  CHECK(wanted() == "none");
  b.endpoint("*", "account", "'7'");  // the engine's events name no account
  CHECK(wanted() == "none");
  const std::string id = b.endpoint("photo.ready,job.failed");
  CHECK(wanted() == "job.failed");
  const std::string where = " WHERE endpoint_id = '" + id + "'";
  b.exec("UPDATE rowcrew.webhook_endpoints SET events = '{*}'" + where);
  CHECK(wanted() == "job.completed,job.failed,job.cancelled");
  b.exec("UPDATE rowcrew.webhook_endpoints SET enabled = false" + where);
  CHECK(wanted() == "none");
  b.exec("UPDATE rowcrew.webhook_endpoints SET enabled = true" + where);
  b.endpoint("job.completed");
  CHECK(wanted() == "job.completed,job.failed,job.cancelled job.completed");
  b.exec("INSERT INTO rowcrew.event_subscription VALUES ('x', '{job.failed}', NULL)");
  b.exec("DELETE FROM rowcrew.webhook_endpoints" + where);
  CHECK(wanted() == "job.completed job.failed");
  b.exec("TRUNCATE rowcrew.webhook_endpoints");
  CHECK(wanted() == "job.failed");
}
