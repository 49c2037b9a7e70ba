// The fleet outside of single jobs: who works, what is stopped, and what nobody sees to.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kLateMs = 5 * 60 * 1000;

std::vector<json> live_nodes(const Facts& facts) {
  std::vector<json> live;
  for (const json& node : facts.of("fleet").at("nodes")) {
    if (flag(node, "live")) live.push_back(node);
  }
  return live;
}

bool holds(const json& list, const std::string& word) { return std::find(list.begin(), list.end(), json(word)) != list.end(); }

void nodes(const Facts& facts, Chart& chart) {
  if (!live_nodes(facts).empty()) return;
  const json& listed = facts.of("fleet").at("nodes");
  std::string said = "no node is live";
  if (!listed.empty()) {
    const auto latest = std::min_element(listed.begin(), listed.end(), [](const json& a, const json& b) { return number(a, "beat") < number(b, "beat"); });
    said += fmt::format(" ({} listed, the last beat was {}'s, {} ago)", listed.size(), text(*latest, "name"), span(number(*latest, "beat")));
  }
  chart.problem(said + ": nothing runs", "systemctl start rowcrewd@default, and look at its log");
}

void failing(const Facts& facts, Chart& chart) {
  for (const json& node : live_nodes(facts)) {
    if (number(node, "failing") == 0) continue;
    chart.problem(fmt::format("some work of node {} on {} does nothing but fail", text(node, "name"), text(node, "host")), "rowcrew status tells which, and with which error");
  }
}

/// Within an hour of a start it is a package that is being rolled out.
void versions(const Facts& facts, Chart& chart) {
  std::set<std::string> found;
  std::int64_t youngest = kHour;
  for (const json& node : live_nodes(facts)) {
    found.insert(text(node, "version"));
    youngest = std::min(youngest, number(node, "up"));
  }
  if (found.size() < 2 || youngest < kHour) return;
  chart.warning(fmt::format("nodes run programs of different versions for more than an hour: {}: what the newer ones can do the others cannot", fmt::join(found, ", ")),
                "install the same package everywhere and restart the nodes; rowcrew status shows which runs what");
}

void queues(const Facts& facts, Chart& chart) {
  if (live_nodes(facts).empty()) return;  // fleet.nodes
  const json& served = facts.of("fleet").at("served");
  const auto unserved = [&](const std::string& queue) {
    chart.problem(fmt::format("jobs wait for queue {}, which no live node serves", queue), "start a node with it below queues:, or put the name right; rowcrew jobs --queue " + queue + " shows them");
  };
  for (const json& queue : facts.of("queues")) {
    if (!holds(served, queue.get<std::string>())) unserved(queue.get<std::string>());
  }
  for (const json& table : facts.of("fleet").at("adopted")) {
    if (table.at("queue").is_null() || holds(served, text(table, "queue"))) continue;
    chart.problem(fmt::format("adopted table {} is about queue {}, which no live node serves: none of its jobs run", text(table, "name"), text(table, "queue")), "start a node with it below queues:");
  }
}

void adopted(const Facts& facts, Chart& chart) {
  for (const json& table : facts.of("fleet").at("adopted")) {
    if (table.at("fault").is_null()) continue;
    chart.problem(fmt::format("adopted table {} {}: {}: none of its jobs are claimed", text(table, "name"), text(table, "mode") == "held" ? "is held" : "will be held by the next node that looks",
                              text(table, "fault")), "rowcrew adopt --map FILE --repair");
  }
}

void pauses(const Facts& facts, Chart& chart) {
  for (const json& pause : facts.of("fleet").at("pauses")) {
    if (number(pause, "seconds") < 7 * kDay) continue;
    const std::string reason = text(pause, "reason");
    chart.warning(fmt::format("{} {} is paused for {}, by {}{}, and no end is set: its jobs only wait", text(pause, "scope"), text(pause, "name"), span(number(pause, "seconds")),
                              text(pause, "by"), reason.empty() ? "" : " (" + reason + ")"),
                  fmt::format("rowcrew resume {} {}", text(pause, "scope"), text(pause, "name")));
  }
}

void limits(const Facts& facts, Chart& chart) {
  if (live_nodes(facts).empty()) return;
  const json& fleet = facts.of("fleet");
  for (const json& rule : fleet.at("limits")) {
    const std::string queue = text(rule, "queue");
    const std::string type = text(rule, "type");
    std::string what;
    if (!queue.empty() && !flag(rule, "queue_known") && !holds(fleet.at("served"), queue)) {
      what = "queue " + queue + ", which no live node serves";
    } else if (!type.empty() && !flag(rule, "type_known") && fleet.at("types").is_array() && !holds(fleet.at("types"), type)) {
      what = "type " + type + ", which no live node has a handler for";
    }
    if (!what.empty()) chart.warning(fmt::format("limit {} is about {}: it limits nothing", text(rule, "name"), what), "rowcrew limit remove " + text(rule, "name") + ", or put the name right");
  }
}

void schedules(const Facts& facts, Chart& chart) {
  if (live_nodes(facts).empty()) return;
  for (const json& one : facts.of("schedules")) {
    if (number(one, "late_ms") < kLateMs) continue;
    chart.problem(fmt::format("schedule {} is overdue by {}: no leader sees to it", text(one, "name"), span(number(one, "late_ms") / 1000)),
                  "rowcrew schedules, and the lines work.failing of the nodes' logs");
  }
}

void retention(const Facts& facts, Chart& chart) {
  const json& found = facts.of("fleet").at("retention");
  if (found.at("policies").empty()) return;
  if (found.at("scheduled").is_null()) {
    return chart.warning("no enabled schedule enqueues jobs of type retention: what has ended is kept for ever, whatever the policies say", "switch schedule rowcrew.retention on: enabled = true");
  }
  if (number(found, "scheduled") < 2 * kDay) return;
  for (const json& policy : found.at("policies")) {
    if (number(policy, "seconds") < 2 * kDay) continue;
    chart.warning(fmt::format("retention policy {} has not come to an end for {}: what it should remove stays", text(policy, "name"), span(number(policy, "seconds"))),
                  "rowcrew jobs --type retention, and why of the last one");
  }
}

void webhooks(const Facts& facts, Chart& chart) {
  for (const json& endpoint : facts.of("fleet").at("endpoints")) {
    const std::string id = text(endpoint, "id");
    if (flag(endpoint, "enabled")) {
      chart.warning(fmt::format("webhook endpoint {} only fails for {}: after five days it is switched off", id, span(number(endpoint, "failing"))),
                    "rowcrew jobs --status retrying --type webhook shows what it answers");
    } else {
      chart.warning(fmt::format("webhook endpoint {} is switched off ({}): events are neither sent nor kept for it", id, text(endpoint, "reason")), text(endpoint, "mend"));
    }
  }
}

}  // namespace

std::span<const Check> fleet_checks() {
  static const std::array<Check, 10> kChecks = {{
      {"fleet.nodes", "no live node", {"fleet"}, nodes},
      {"fleet.failing", "nodes of which some work only fails", {"fleet"}, failing},
      {"fleet.queues", "jobs of queues that no live node serves", {"fleet", "queues"}, queues},
      {"fleet.adopted", "adopted tables that are held, or about to be", {"fleet"}, adopted},
      {"fleet.schedules", "schedules that are overdue by five minutes", {"fleet", "schedules"}, schedules},
      {"fleet.versions", "nodes of different versions for more than an hour", {"fleet"}, versions},
      {"fleet.pauses", "pauses without an end that are older than a week", {"fleet"}, pauses},
      {"fleet.limits", "limits about a queue or type that nobody serves", {"fleet"}, limits},
      {"fleet.retention", "policies that have not come to an end for two days", {"fleet"}, retention},
      {"fleet.webhooks", "endpoints that only fail for an hour, or were switched off for it", {"fleet"}, webhooks},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
