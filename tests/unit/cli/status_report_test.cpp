#include "cli/status_report.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

using namespace rowcrew::cli;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

FleetStatus sample() {
  FleetStatus fleet;
  NodeStatus node;
  node.name = "gen-1";
  node.host = "alpha";
  node.pid = 4711;
  node.version = "0.1.0";
  node.queues = {"default", "mail"};
  node.beat_age = 400ms;
  node.uptime = 3h;
  node.claimed = 8;
  fleet.nodes.push_back(node);
  TableStatus table;
  table.name = "job_queue";
  table.claimed = 8;
  table.completed_5min = 517;
  table.failed_hour = 4;
  table.queues.resize(1);
  table.queues[0].name = "mail";
  table.queues[0].ready = 120;
  table.queues[0].oldest = 3min;
  table.queues[0].parked = {{"backoff", 3}};
  fleet.tables.push_back(table);
  fleet.paused = {{"queue", "reports"}, {"type", "email"}};
  return fleet;
}

}  // namespace

TEST_CASE("the text has a line per node, table and queue, in columns") {
  CHECK(status_text(sample()) ==
        "NODE   HOST    PID  VERSION  UP      BEAT  CLAIMED  QUEUES\n"
        "gen-1  alpha  4711  0.1.0    3h  0.4s ago        8  default,mail\n"
        "\n"
        "TABLE      CLAIMED  COMPLETED/MIN  FAILED LAST HOUR\n"
        "job_queue        8          103.4                 4\n"
        "\n"
        "TABLE      QUEUE  READY  OLDEST  SCHEDULED  BACKOFF  SUSPECT\n"
        "job_queue  mail     120      3m          0        3        0\n"
        "\n"
        "paused: queue reports, type email\n");
}

TEST_CASE("status: retention that has missed two nights is named") {
  FleetStatus fleet = sample();
  fleet.retention = {{"events", 48h}, {"jobs", 75h}, {"node_stats", 49h}};
  CHECK(status_text(fleet).find("\n\nretention is overdue, tables grow: jobs for 3d, node_stats for 2d\n\npaused:") != std::string::npos);
  CHECK(json::parse(status_json(fleet))["retention"][1] == json::parse(R"({"policy": "jobs", "age_ms": 270000000, "overdue": true})"));
  fleet.retention.resize(1);
  CHECK(status_text(fleet) == status_text(sample()));
  CHECK(json::parse(status_json(fleet))["retention"][0]["overdue"] == false);
}

TEST_CASE("status: hundreds of queues and pauses, whatever they are called, are a line each") {
  FleetStatus fleet;
  fleet.nodes.resize(1);
  for (int i = 1; i <= 300; ++i) {
    fleet.nodes[0].queues.push_back("q" + std::to_string(i));
    fleet.paused.push_back({"tenant", "t\n\x1b[31m" + std::to_string(i)});
  }
  fleet.paused.push_back({"queue", "mail"});
  const std::string text = status_text(fleet);
  CHECK(text.find(",q20 and 280 more\n") != std::string::npos);
  CHECK(text.find("q21") == std::string::npos);
  CHECK(text.find("\npaused: queue mail, tenant t") != std::string::npos);
  CHECK(text.find(" and 281 more (rowcrew pause lists them)\n") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(nlohmann::json::parse(status_json(fleet))["paused"].size() == 301);
}

TEST_CASE("whatever else jobs wait for has a column where some do") {
  FleetStatus fleet = sample();
  QueueStatus queue;
  queue.name = "web";
  queue.parked = {{"limited", 40}, {"unclaimable", 2}};
  fleet.tables[0].queues.push_back(queue);
  const std::string text = status_text(fleet);
  CHECK(text.find("TABLE      QUEUE  READY  OLDEST  SCHEDULED  BACKOFF  SUSPECT  LIMITED  UNCLAIMABLE\n"
                  "job_queue  mail     120      3m          0        3        0        0            0\n"
                  "job_queue  web        0       -          0        0        0       40            2\n") != std::string::npos);
  const json all = json::parse(status_json(fleet));
  CHECK(all["tables"][0]["queues"][1]["parked"] ==
        json{{"scheduled", 0}, {"backoff", 0}, {"suspect", 0}, {"limited", 40}, {"unclaimable", 2}});
}

TEST_CASE("status: which types fail, are tried again and take long, those first that fail most") {
  FleetStatus fleet = sample();
  CHECK(status_text(fleet).find("TYPE") == std::string::npos);
  TypeStatus well;
  well.name = "command";
  well.completed_5min = 50;
  well.mean = 20ms;
  well.longest = 3s;
  TypeStatus refused = well;
  refused.name = "http";
  refused.retried_hour = 412;
  fleet.tables[0].types = {well, refused};
  TableStatus other;
  other.name = "processing_jobs";
  refused.name = "image";
  refused.failed_hour = 2;
  other.types = {refused};
  fleet.tables.push_back(other);
  CHECK(status_text(fleet).find(
            "\n\nTABLE            TYPE     COMPLETED/MIN  RETRIED LAST HOUR  FAILED  MEAN  LONGEST\n"
            "processing_jobs  image             10.0                412       2  20ms     3.0s\n"
            "job_queue        http              10.0                412       0  20ms     3.0s\n"
            "job_queue        command           10.0                  0       0  20ms     3.0s\n\n") != std::string::npos);
  CHECK(json::parse(status_json(fleet))["tables"][0]["types"][1] ==
        json::parse(R"({"name": "http", "completed_per_minute": 10.0, "failed_last_hour": 0, "retried_last_hour": 412, "mean_ms": 20, "longest_ms": 3000})"));
  for (int i = 0; i < 30; ++i) fleet.tables[0].types.push_back(well);
  CHECK(status_text(fleet).find("\nand 13 more types\n") != std::string::npos);
}

TEST_CASE("what of a node's work does nothing but fail stands below the nodes") {
  FleetStatus fleet = sample();
  fleet.nodes[0].failing.push_back({"claims of job_queue", 15'054ms, "claim:job_queue: canceling\nstatement (57014)"});
  CHECK(status_text(fleet).find("default,mail\ngen-1: claims of job_queue fail for 15s: claim:job_queue: canceling\\nstatement (57014)\n\nTABLE") != std::string::npos);
  CHECK(json::parse(status_json(fleet))["nodes"][0]["failing"] ==
        json::parse(R"json([{"work": "claims of job_queue", "for_ms": 15054, "error": "claim:job_queue: canceling\nstatement (57014)"}])json"));
  CHECK(json::parse(status_json(sample()))["nodes"][0]["failing"] == json::array());
}

TEST_CASE("a queue where jobs wait that no live node serves is named") {
  FleetStatus fleet = sample();
  CHECK(status_text(fleet).find("serves") == std::string::npos);
  for (const char* name : {"mial", "mial", "reports"}) {
    QueueStatus queue;
    queue.name = name;
    queue.ready = 1;
    fleet.tables[0].queues.push_back(queue);
  }
  CHECK(status_text(fleet).find("no live node serves: mial, reports\n") != std::string::npos);
  fleet.nodes.clear();
  CHECK(status_text(fleet).find("serves") == std::string::npos);
}

TEST_CASE("an empty fleet says so") {
  const std::string text = status_text(FleetStatus());
  CHECK(text.find("no live node\n") != std::string::npos);
  CHECK(text.find("nothing waits\n") != std::string::npos);
}

TEST_CASE("a backlog that was not counted to its end says so") {
  FleetStatus fleet = sample();
  fleet.tables[0].capped = true;
  CHECK(status_text(fleet).find("job_queue: more are waiting than were counted\n") !=
        std::string::npos);
  CHECK(json::parse(status_json(fleet))["tables"][0]["counted_all"] == false);
}

TEST_CASE("the JSON holds the same numbers") {
  const json all = json::parse(status_json(sample()));
  CHECK(all["nodes"][0]["name"] == "gen-1");
  CHECK(all["nodes"][0]["queues"] == json{"default", "mail"});
  CHECK(all["nodes"][0]["beat_age_ms"] == 400);
  CHECK(all["tables"][0]["completed_per_minute"] == 103.4);
  CHECK(all["tables"][0]["queues"][0]["oldest_ready_ms"] == 180'000);
  CHECK(all["tables"][0]["queues"][0]["parked"] ==
        json{{"scheduled", 0}, {"backoff", 3}, {"suspect", 0}});
  CHECK(all["paused"] == json::parse(R"([{"scope": "queue", "name": "reports"}, {"scope": "type", "name": "email"}])"));
}

TEST_CASE("spans are short") {
  CHECK(short_span(400ms) == "0.4s");
  CHECK(short_span(12s) == "12s");
  CHECK(short_span(3min) == "3m");
  CHECK(short_span(5h) == "5h");
  CHECK(short_span(50h) == "2d");
}

TEST_CASE("status: adopted tables are told with their mode, why they are held, and their conflicts") {
  FleetStatus fleet = sample();
  CHECK(status_text(fleet).find("ADOPTED") == std::string::npos);
  AdoptedStatus held;
  held.name = "public_jobs";
  held.table = "public.jobs";
  held.mode = "held";
  held.hold_reason = "column status was dropped";
  held.conflicts = 12;
  fleet.adopted.push_back(held);
  const std::string text = status_text(fleet);
  CHECK(text.find("public_jobs is held: column status was dropped") != std::string::npos);
  const json all = json::parse(status_json(fleet));
  CHECK(all["adopted"][0]["conflicts"] == 12);
  CHECK(all["adopted"][0]["hold_reason"] == "column status was dropped");
}

TEST_CASE("more are said to wait than were counted only where one of the counts came to its end") {
  TableStatus table;
  table.queues.resize(2);
  table.queues[0].ready = 300;
  table.queues[0].parked = {{"limited", 300}, {"scheduled", 300}};
  table.queues[1].parked = {{"limited", 199}, {"backoff", 199}};
  CHECK_FALSE(is_capped(table, 500));
  table.queues[1].parked["limited"] = 200;
  CHECK(is_capped(table, 500));
  table.queues[1].parked["limited"] = 0;
  table.queues[1].parked["suspect"] = 1;
  CHECK(is_capped(table, 500));
  table.queues[1].parked.clear();
  table.queues[1].ready = 200;
  CHECK(is_capped(table, 500));
}
