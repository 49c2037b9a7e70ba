// A migrated database with endpoints and events, looked at by plain SQL.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "support/db/temp_database.hpp"

namespace rowcrew::testing {

inline constexpr const char* kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
inline constexpr const char* kOldSecret = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

class WebhookBench {
 public:
  void exec(std::string_view sql) { db.exec(sql); }
  std::string value(std::string_view sql, const Params& params = {}) {
    return db.value(sql, params);
  }
  std::int64_t count(const std::string& from) {
    return std::stoll(value("SELECT count(*) FROM rowcrew." + from));
  }

  /// `columns` and `values` go beside url, events and secret. Returns the endpoint's id.
  std::string endpoint(const std::string& events, const std::string& columns = "",
                       const std::string& values = "") {
    const auto also = [](const std::string& text) { return text.empty() ? "" : ", " + text; };
    return value("INSERT INTO rowcrew.webhook_endpoints (url, events, secret" + also(columns) +
                 ") VALUES ('https://hooks.example/', '{" + events + "}', '" + kSecret + "'" +
                 also(values) + ") RETURNING endpoint_id");
  }
  /// An event of a generation, as an app's own code writes it.
  void emit(const std::string& event, const std::string& data = "{}",
            const std::string& job_type = "generation") {
    value("SELECT rowcrew.emit($1, $2::jsonb, 'job_queue', rowcrew.uuid7(), $3)",
          Params().add(event).add(data).add(job_type));
  }
  /// "event>account of the endpoint" of all deliveries, sorted; "none".
  std::string deliveries() {
    return value(
        "SELECT coalesce(string_agg(d.event || '>' || coalesce(e.account, e.app, '-'), ' ' "
        "ORDER BY d.event, coalesce(e.account, e.app, '-')), 'none') "
        "FROM rowcrew.webhook_deliveries d JOIN rowcrew.webhook_endpoints e USING (endpoint_id)");
  }
  /// One endpoint, one delivery of photo.ready; returns the delivery's job.
  std::string delivery_job() {
    emit("photo.ready");
    return value("SELECT job_id FROM rowcrew.webhook_deliveries ORDER BY delivery_id DESC LIMIT 1");
  }
  void ended(const std::string& job, const std::string& report) {
    value("SELECT rowcrew.webhook_ended($1::uuid, $2::jsonb)", Params().add(job).add(report));
  }
  /// Concatenated columns of the delivery of that job.
  std::string delivery(const std::string& job) {
    return value(
        "SELECT concat_ws('|', status, attempts, coalesce(response_status::text, '-'), "
        "coalesce(response_excerpt, '-'), coalesce(error_code, '-'), coalesce(error_message, '-'), "
        "CASE WHEN delivered_at IS NULL THEN 'not delivered' ELSE 'delivered' END) "
        "FROM rowcrew.webhook_deliveries d WHERE d.job_id = $1::uuid",
        Params().add(job));
  }
  /// "enabled", "enabled failing" or "disabled: <reason>" of the only endpoint.
  std::string endpoint_state() {
    return value(
        "SELECT CASE WHEN NOT enabled THEN 'disabled: ' || disabled_reason "
        "WHEN failing_since IS NULL THEN 'enabled' ELSE 'enabled failing' END "
        "FROM rowcrew.webhook_endpoints");
  }

  TempDatabase db;
};

}  // namespace rowcrew::testing
