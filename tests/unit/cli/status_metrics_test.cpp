#include "cli/status_metrics.hpp"

#include <doctest/doctest.h>

using namespace rowcrew::cli;
using namespace std::chrono_literals;

namespace {

bool has_line(const std::string& text, const std::string& line) { return ("\n" + text).find("\n" + line + "\n") != text.npos; }

FleetStatus fleet_of(std::vector<std::string> queues) {
  FleetStatus fleet;
  fleet.nodes.resize(1);
  fleet.nodes[0].name = "gen-1";
  fleet.nodes[0].host = "alpha";
  fleet.nodes[0].pid = 4711;
  fleet.nodes[0].queues = std::move(queues);
  fleet.tables.resize(1);
  fleet.tables[0].name = "job_queue";
  return fleet;
}

}  // namespace

TEST_CASE("metrics: the samples of a metric stand together under one head") {
  FleetStatus fleet = fleet_of({"default", "mail"});
  fleet.tables[0].queues.resize(1);
  fleet.tables[0].queues[0].name = "mail";
  fleet.tables[0].queues[0].ready = 120;
  fleet.tables[0].queues[0].oldest = 1500ms;
  fleet.tables[0].queues[0].parked = {{"backoff", 3}};
  fleet.tables[0].completed_5min = 517;
  const std::string text = status_metrics(fleet);
  CHECK(text.find("# TYPE rowcrew_queue_jobs gauge\n"
                  "rowcrew_queue_jobs{table=\"job_queue\",queue=\"mail\",state=\"ready\"} 120\n"
                  "rowcrew_queue_jobs{table=\"job_queue\",queue=\"mail\",state=\"backoff\"} 3\n"
                  "rowcrew_queue_jobs{table=\"job_queue\",queue=\"default\",state=\"ready\"} 0\n"
                  "# HELP rowcrew_queue_oldest_ready_age_seconds ") != text.npos);
  CHECK(has_line(text, "rowcrew_nodes 1"));
  CHECK(has_line(text, "rowcrew_node_claimed_jobs{node=\"gen-1\",host=\"alpha\",pid=\"4711\"} 0"));
  CHECK(has_line(text, "rowcrew_node_failing{node=\"gen-1\",host=\"alpha\",pid=\"4711\"} 0"));
  CHECK(has_line(text, "rowcrew_queue_oldest_ready_age_seconds{table=\"job_queue\",queue=\"mail\"} 1.5"));
  CHECK(has_line(text, "rowcrew_table_completed_jobs_per_minute{table=\"job_queue\"} 103.4"));
  CHECK(text.ends_with('\n'));
}

TEST_CASE("metrics: a queue that no node serves says so") {
  FleetStatus fleet = fleet_of({"default"});
  fleet.tables[0].queues.resize(1);
  fleet.tables[0].queues[0].name = "defualt";
  const std::string text = status_metrics(fleet);
  CHECK(has_line(text, "rowcrew_queue_served{queue=\"default\"} 1"));
  CHECK(has_line(text, "rowcrew_queue_served{queue=\"defualt\"} 0"));
}

TEST_CASE("metrics: a fleet without nodes and work is zeros, and no head without a sample") {
  const std::string text = status_metrics(FleetStatus{});
  CHECK(has_line(text, "rowcrew_nodes 0"));
  CHECK(has_line(text, "rowcrew_pauses{scope=\"tenant\"} 0"));
  CHECK(text.find("rowcrew_queue_jobs") == text.npos);
}

TEST_CASE("metrics: how long ago each retention policy came to its end") {
  FleetStatus fleet;
  fleet.retention = {{"jobs", std::chrono::hours(75)}};
  CHECK(has_line(status_metrics(fleet), "rowcrew_retention_age_seconds{policy=\"jobs\"} 270000"));
}

TEST_CASE("metrics: pauses are counted by scope, held tables and their conflicts told by name") {
  FleetStatus fleet;
  fleet.paused = {{"type", "email"}, {"type", "http"}, {"tenant", "acme"}};
  fleet.adopted.resize(1);
  fleet.adopted[0].name = "shop_jobs";
  fleet.adopted[0].mode = "held";
  fleet.adopted[0].conflicts = 7;
  const std::string text = status_metrics(fleet);
  CHECK(has_line(text, "rowcrew_pauses{scope=\"type\"} 2"));
  CHECK(has_line(text, "rowcrew_pauses{scope=\"tenant\"} 1"));
  CHECK(has_line(text, "rowcrew_adopted_held{table=\"shop_jobs\"} 1"));
  CHECK(has_line(text, "rowcrew_adopted_conflicts_total{table=\"shop_jobs\"} 7"));
}

TEST_CASE("metrics: a name with quotes, line ends or broken UTF-8 cannot spoil the rest, one with backslashes is told as it is") {
  const std::string text = status_metrics(fleet_of({"a\"b\nc\xff"}));
  CHECK(has_line(text, "rowcrew_queue_served{queue=\"a\\\"b\\nc\uFFFD\"} 1"));
  CHECK(has_line(status_metrics(fleet_of({"a\\b"})), "rowcrew_queue_served{queue=\"a\\\\b\"} 1"));
}
