#include "web/web_acts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/units.hpp"
#include "cli/job_id.hpp"
#include "sql_queries.hpp"
#include "web/web_refusal.hpp"

namespace rowcrew::web {
namespace {

constexpr std::array<std::string_view, 4> kActs = {"cancel", "redrive", "pause", "resume"};
constexpr std::int64_t kLongestMs = std::int64_t{3650} * 24 * 3600 * 1000;

[[noreturn]] void refuse(std::string_view field, std::string_view sentence) {
  throw WebRefusal(400, "bad_value", fmt::format("{}: {}", field, sentence));
}

bool is_about_job(std::string_view act) { return act == "cancel" || act == "redrive"; }

void set_text(std::string_view name, const nlohmann::json& value, std::string& to) {
  if (!value.is_string()) refuse(name, "expected a text");
  to = value.get<std::string>();
}

void set_field(ActRequest& request, const std::string& name, const nlohmann::json& value) {
  const bool about_job = is_about_job(request.act);
  if (name == "reason" && request.act != "resume") {
    if (value.is_null()) return;
    set_text(name, value, request.reason.emplace());
  } else if (name == "job" && about_job) {
    set_text(name, value, request.job);
  } else if (name == "scope" && !about_job) {
    set_text(name, value, request.scope);
  } else if (name == "name" && !about_job) {
    set_text(name, value, request.name);
  } else if (name == "for_ms" && request.act == "pause") {
    if (value.is_null()) return;
    if (!value.is_number_integer() || value < 1 || value > kLongestMs) refuse(name, "expected milliseconds, up to ten years");
    request.for_ms = value.get<std::int64_t>();
  } else {
    refuse(shown(name), fmt::format("{} knows no such field", request.act));
  }
}

std::string cancel(Tx& tx, const ActRequest& request) {
  const auto adopted = cli::adopted_job(request.job);
  Params params;
  adopted ? params.add(adopted->table).add(adopted->key) : params.add(cli::checked_job_id(request.job));
  params.add(request.reason);
  return std::string(tx.exec(adopted ? sql::cli_cancel_adopted : sql::cli_cancel, params).text(0, 0));
}

std::string redrive(Tx& tx, const ActRequest& request) {
  if (cli::adopted_job(request.job)) refuse("job", "of an adopted table, which rowcrew redrive --table does, with your own rights on it");
  Params params;
  params.add(cli::checked_job_id(request.job)).add(request.reason);
  return std::string(tx.exec(sql::cli_redrive, params).text(0, 0));
}

std::string pause(Tx& tx, const ActRequest& request) {
  Params params;
  params.add(request.scope).add(request.name).add(request.reason);
  request.for_ms ? params.add(*request.for_ms) : params.add(std::nullopt);
  tx.exec(sql::cli_pause, params);
  return "paused";
}

std::string resume(Tx& tx, const ActRequest& request) {
  Params params;
  params.add(request.scope).add(request.name);
  return tx.exec(sql::cli_resume, params).boolean(0, 0) ? "resumed" : "was not paused";
}

}  // namespace

bool is_act(std::string_view name) { return std::find(kActs.begin(), kActs.end(), name) != kActs.end(); }

ActRequest parse_act(std::string_view act, std::string_view body) {
  const nlohmann::json object = nlohmann::json::parse(body, nullptr, false);
  if (!object.is_object()) throw WebRefusal(400, "bad_body", "expected a JSON object");
  ActRequest request;
  request.act = act;
  for (const auto& [name, value] : object.items()) set_field(request, name, value);
  if (is_about_job(act)) {
    if (request.job.empty()) refuse("job", "missing");
  } else {
    if (request.scope.empty()) refuse("scope", "missing, expected queue, type, tenant or key");
    if (request.name.empty()) refuse("name", "missing");
  }
  return request;
}

std::string carry_out(Tx& tx, const ActRequest& request) {
  const std::string answer = request.act == "cancel"    ? cancel(tx, request)
                             : request.act == "redrive" ? redrive(tx, request)
                             : request.act == "pause"   ? pause(tx, request)
                                                        : resume(tx, request);
  if (answer == "unknown") throw WebRefusal(404, "not_found", fmt::format("job {}: not found", shown(request.job)));
  return answer;
}

}  // namespace rowcrew::web
