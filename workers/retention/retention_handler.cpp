#include "retention_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include <rowcrew/db_error.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/registry.hpp>
#include "sql/retention.hpp"

namespace rowcrew::retention {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// A page that begins now ends within this: the server's limit for a statement, and some.
constexpr std::chrono::seconds kLongestPage = 35s;
constexpr std::chrono::milliseconds kNap = 1s;

std::optional<std::string> text_or_null(const Rows& rows, std::size_t row, std::size_t column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return std::string(rows.text(row, column));
}

std::vector<Walk> walks_of(const Rows& policies, const Order& order) {
  std::vector<Walk> walks;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const bool dry = order.dry_run || policies.boolean(i, 2);
    // A dry run counts everything; it neither takes up nor leaves a mark.
    walks.emplace_back(std::string(policies.text(i, 0)), dry,
                       dry ? std::nullopt : text_or_null(policies, i, 3));
  }
  return walks;
}

std::string result_of(const std::vector<Walk>& walks) {
  json policies = json::array();
  for (const Walk& walk : walks) {
    policies.push_back({{"name", walk.name},
                        {"looked_at", walk.looked_at},
                        {"removed", walk.removed},
                        {"archived", walk.archived},
                        {"kept", walk.kept},
                        {"dry_run", walk.dry_run}});
  }
  return json{{"policies", std::move(policies)}}.dump();
}

void write_walk(Log& log, std::string_view event, const Walk& walk) {
  log.info(event, {{"policy", walk.name},
                   {"looked_at", walk.looked_at},
                   {"removed", walk.removed},
                   {"archived", walk.archived},
                   {"kept", walk.kept},
                   {"dry_run", walk.dry_run ? "true" : "false"}});
}

Outcome outcome_of(const std::vector<Walk>& walks) {
  const auto refused =
      std::find_if(walks.begin(), walks.end(), [](const Walk& walk) { return walk.refused; });
  if (refused == walks.end()) return Completed(result_of(walks));
  return Failed("policy_refused",
                fmt::format("policy {}: the database refused to remove its rows, probably by a "
                            "trigger; the other policies were carried out",
                            refused->name));
}

}  // namespace

Order parse_order(const json& payload) {
  Order order(std::nullopt, false);
  for (const auto& [key, value] : payload.items()) {
    if (key == "policy" && value.is_string()) {
      order.policy = value.get<std::string>();
    } else if (key == "dry_run" && value.is_boolean()) {
      order.dry_run = value.get<bool>();
    } else {
      throw PermanentError("bad_payload",
                           "retention payload: expected \"policy\", a name, and \"dry_run\", true "
                           "or false, and nothing else");
    }
  }
  return order;
}

RetentionHandler::RetentionHandler(const Deps& deps) : db_(deps.db), clock_(deps.clock) {}

boost::asio::awaitable<Outcome> RetentionHandler::run(JobContext& context) {
  const Order order = parse_order(context.payload());
  Params which;
  which.add(order.policy).add(context.job().id).add(context.job().table);
  const Rows policies = co_await db_.query(sql::policies, std::move(which));
  if (order.policy && policies.empty()) {
    co_return Failed("unknown_policy", "retention: there is no policy of the name in the payload");
  }
  if (order.policy && !order.dry_run && !policies.boolean(0, 1)) {
    co_return Failed("policy_disabled",
                     fmt::format("policy {}: is switched off, so that only a dry run of it is "
                                 "possible",
                                 *order.policy));
  }
  std::vector<Walk> walks = walks_of(policies, order);
  for (std::size_t i = 0; i < walks.size(); ++i) {
    const End end = co_await walk(walks[i], context);
    if (end == End::finished) {
      write_walk(context.log(), "retention.walked", walks[i]);
      if (i + 1 == walks.size() || context.deadline() - clock_.mono() > kLongestPage) continue;
    }
    write_walk(context.log(), "retention.paused", walks[i]);
    // A dry run leaves no mark where to go on.
    if (std::any_of(walks.begin(), walks.end(), [](const Walk& walk) { return walk.dry_run; })) {
      co_return Failed("dry_run_too_long",
                       "retention: counting takes longer than the job may; dry-run the policies "
                       "one by one, or raise the timeout of the job type retention");
    }
    co_return Snooze(kNap, "the rest follows");
  }
  co_return outcome_of(walks);
}

// At least one page, or a short timeout would never come to an end.
boost::asio::awaitable<RetentionHandler::End> RetentionHandler::walk(Walk& walk,
                                                                     JobContext& context) {
  for (;;) {
    Params params;
    params.add(walk.name).add(walk.dry_run).add(walk.after).add(context.job().id).add(context.job().table);
    Rows page;
    try {
      page = co_await db_.query(sql::page, std::move(params));
    } catch (const DbError& error) {
      if (error.error_class() != ErrorClass::permanent) throw;
      context.log().error("retention.refused", {{"policy", walk.name}, {"code", error.code()}},
                          error.what());
      walk.refused = true;
      co_return End::finished;
    }
    ROWCREW_FAULT_POINT("retention.page");
    if (page.empty()) co_return End::finished;  // removed or switched off meanwhile
    walk.looked_at += page.integer(0, 0);
    walk.removed += page.integer(0, 1);
    walk.archived += page.integer(0, 2);
    walk.kept += page.integer(0, 4);
    walk.after = text_or_null(page, 0, 3);
    if (!walk.after) co_return End::finished;
    if (context.deadline() - clock_.mono() <= kLongestPage) co_return End::out_of_time;
  }
}

}  // namespace rowcrew::retention

namespace rowcrew {

void register_retention(Registry& registry, Deps& deps) {
  registry.add("retention", std::make_unique<retention::RetentionHandler>(deps));
}

}  // namespace rowcrew
