#include "web/web_views.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/units.hpp"
#include "cli/fleet_reading.hpp"
#include "cli/job_id.hpp"
#include "cli/schedule_list.hpp"
#include "cli/status_report.hpp"
#include "sql_queries.hpp"
#include "web/web_refusal.hpp"

namespace rowcrew::web {
namespace {

using nlohmann::ordered_json;

constexpr int kUsual = 50;
constexpr int kMost = 500;
constexpr int kActs = 100;
constexpr std::array<std::string_view, 10> kFilter = {"status", "type",          "queue",          "tenant",      "error_code",
                                                      "table",  "created_after", "created_before", "ended_after", "ended_before"};

std::string text_of(const ordered_json& value) { return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

/// The column of all rows, each an object, as one array.
ordered_json objects(const Rows& rows, std::size_t column) {
  ordered_json all = ordered_json::array();
  for (std::size_t row = 0; row < rows.size(); ++row) all.push_back(ordered_json::parse(rows.text(row, column)));
  return all;
}

std::string required(const Query& query, std::string_view name) {
  const auto found = query.find(name);
  if (found == query.end()) throw WebRefusal(400, "bad_value", fmt::format("{}: missing", name));
  return found->second;
}

int limit_of(const Query& query) {
  const auto found = query.find("limit");
  if (found == query.end()) return kUsual;
  int limit = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit < 1 || limit > kMost) {
    throw WebRefusal(400, "bad_value", fmt::format("limit: {}, expected 1 to {}", shown(text), kMost));
  }
  return limit;
}

ordered_json filter_of(const Query& query) {
  ordered_json filter = ordered_json::object();
  for (const auto& [name, value] : query) {
    if (name == "limit") continue;
    if (std::find(kFilter.begin(), kFilter.end(), name) == kFilter.end()) {
      throw WebRefusal(400, "bad_value", fmt::format("{}: no condition, expected one of {}", shown(name), fmt::join(kFilter, ", ")));
    }
    filter[name] = value;
  }
  return filter;
}

}  // namespace

std::string fleet_view(Tx& tx, bool acts) {
  const Rows here = tx.exec(sql::web_here, Params{});
  const ordered_json status = ordered_json::parse(cli::status_json(cli::read_fleet(tx)));
  const ordered_json pauses = objects(tx.exec(sql::cli_pauses, Params{}), 6);
  const ordered_json minutes = ordered_json::parse(tx.exec(sql::web_minutes, Params{}).text(0, 0));
  return text_of({{"acts", acts}, {"database", here.text(0, 0)}, {"role", here.text(0, 1)}, {"version", ROWCREW_VERSION},
                  {"now", here.text(0, 2)}, {"status", status}, {"pauses", pauses}, {"minutes", minutes}});
}

std::string jobs_view(Tx& tx, const Query& query) {
  Params params;
  params.add(text_of(filter_of(query))).add(limit_of(query));
  return text_of({{"jobs", objects(tx.exec(sql::cli_jobs, params), 8)}});
}

std::string job_view(Tx& tx, const Query& query) {
  const std::string job = required(query, "job");
  const auto adopted = cli::adopted_job(job);
  Params params;
  adopted ? params.add(adopted->table).add(adopted->key) : params.add(cli::checked_job_id(job));
  const Rows rows = tx.exec(adopted ? sql::web_job_adopted : sql::web_job, params);
  const ordered_json why = ordered_json::parse(rows.text(0, 1));
  if (why.value("reason", "") == "unknown") throw WebRefusal(404, "not_found", std::string(rows.text(0, 0)));
  return text_of({{"line", rows.text(0, 0)}, {"why", why}, {"attempts", ordered_json::parse(rows.text(0, 2))}});
}

std::string limits_view(Tx& tx) { return text_of({{"limits", objects(tx.exec(sql::cli_limits, Params{}), 12)}}); }

std::string limit_view(Tx& tx, const Query& query) {
  Params params;
  params.add(required(query, "name"));
  return text_of({{"keys", objects(tx.exec(sql::cli_limit_keys, params), 5)}});
}

std::string schedules_view(Tx& tx) {
  ordered_json all = ordered_json::array();
  for (const cli::Schedule& schedule : cli::read_schedules(tx.exec(sql::cli_schedules, Params{}))) all.push_back(to_json(schedule));
  return text_of({{"schedules", all}});
}

std::string audit_view(Tx& tx) {
  Params params;
  params.add(kActs);
  return text_of({{"acts", ordered_json::parse(tx.exec(sql::web_acts, params).text(0, 0))}});
}

}  // namespace rowcrew::web
