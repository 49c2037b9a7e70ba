#include "ingest/answers.hpp"

#include <nlohmann/json.hpp>

#include <rowcrew/db_error.hpp>

#include "ingest/request_rules.hpp"

namespace rowcrew {
namespace {

using nlohmann::ordered_json;

const HttpHeaders kRetrySoon = {{"Retry-After", "2"}};

std::string dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string_view sqlstate_of(const Error& error) {
  const auto* db = dynamic_cast<const DbError*>(&error);
  return db == nullptr ? std::string_view{} : std::string_view(db->sqlstate());
}

bool outcome_unknown(const Error& error) {
  const auto* db = dynamic_cast<const DbError*>(&error);
  return db != nullptr && db->outcome_unknown();
}

Refused unknown(bool has_idempotency_key) {
  return {503, "outcome_unknown",
          has_idempotency_key
              ? "the database went away while it answered: repeat the request with the same "
                "Idempotency-Key"
              : "the database went away while it answered: the job may have been enqueued; send an "
                "Idempotency-Key, and such a request can be repeated safely",
          kRetrySoon};
}

}  // namespace

ServerResponse accepted(std::string_view id, bool created) {
  const ordered_json body = {{"id", std::string(id)}, {"created", created}};
  return {202, "application/json", dump(body)};
}

ServerResponse ignored() {
  return {200, "application/json", dump(ordered_json{{"ignored", true}})};
}

ServerResponse to_response(const Refused& refused) {
  const ordered_json body = {{"error", refused.code()}, {"message", std::string(refused.what())}};
  ServerResponse response(refused.status, "application/json", dump(body));
  response.headers = refused.headers;
  return response;
}

ServerResponse health(bool ok) {
  const ordered_json body = {{"status", ok ? "ok" : "unavailable"}};
  return {ok ? 200 : 503, "application/json", dump(body)};
}

Refused unavailable() {
  return {503, "unavailable",
          "the database is away or busy, nothing was enqueued: repeat the request", kRetrySoon};
}

Refused judge_enqueue_failure(const Error& error, bool has_idempotency_key) {
  if (outcome_unknown(error)) return unknown(has_idempotency_key);
  const std::string_view state = sqlstate_of(error);
  const std::string_view state_class = state.substr(0, 2);
  if (state == "28000") return unauthorized();
  if (state == "42501") {
    return {403, "forbidden", "job_type: this API key may not enqueue it"};
  }
  if (state == "22003") {
    return {400, "bad_request", "payload: a number is larger or finer than the database can hold"};
  }
  // P0001: RAISE without a code in a trigger of the operator's. The same job meets it again.
  if (state_class == "22" || state_class == "23" || state == "P0001") {
    return {400, "bad_request",
            "body: the database refused the job (SQLSTATE " + std::string(state) + ")"};
  }
  return unavailable();
}

std::vector<LogField> cause_of(const Error& error) {
  std::vector<LogField> cause = {{"code", error.code()}};
  // Those of class 22 name the value that does not fit: invalid input syntax for type integer: "…".
  if (!sqlstate_of(error).starts_with("22")) cause.emplace_back("database", error.what());
  return cause;
}

bool worth_repeating(const Error& error) {
  const std::string_view state = sqlstate_of(error);
  return state == "40001" || state == "40P01" || state == "55P03";
}

std::string_view setup_advice(const Error& error) {
  const std::string_view state = sqlstate_of(error);
  if (state == "3F000" || state == "42883" || state == "42P01") {
    return "the schema is missing or older than this program: run \"rowcrew migrate\"";
  }
  if (state == "42501") {
    return "the database role lacks its rights: grant it the role rowcrew_ingest";
  }
  return {};
}

}  // namespace rowcrew
