#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "cli/doctor/check.hpp"

using namespace rowcrew::cli::doctor;
using nlohmann::json;

namespace {

/// A fleet that nothing is wrong with.
Facts healthy() {
  Facts facts;
  facts.read["program"] = {{"schema", 24}};
  facts.read["connection"] = {{"pooled", false}, {"direct", false}, {"remote", json::array()}};
  facts.read["server"] = json::parse(R"({"schema": true, "database": "shop",
    "standby": false, "read_only": false, "writes_again": "ALTER DATABASE shop RESET default_transaction_read_only", "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "autovacuum": "on", "track_counts": "on",
    "max_connections": 100, "reserved": 3, "connections": 20, "database_limit": -1, "database_connections": 20,
    "xid_age": 1000, "multixact_age": 10, "notify_queue": 0.0, "role_settings": [], "encrypted": true})");
  facts.read["horizon"] = json::parse(R"({"sees_all": true, "sessions": [], "prepared": [], "slots": []})");
  facts.read["installation"] = json::parse(R"({"version": 24, "min_binary": 1, "id": "0d9f2b64", "home": true})");
  facts.read["objects"] = json::parse(R"({"absent": [], "indexes": [], "broken": [], "triggers": []})");
  facts.read["tables"] = json::parse(R"({"triggers": [], "rules": [], "row_security": [], "unlogged": [], "not_vacuumed": [], "dead": [],
    "references": [], "without_partition": []})");
  facts.read["rights"] = json::parse(R"({"owner": "rowcrew_owner", "roles": [{"role": "rowcrew_viewer", "present": true, "usage": true,
    "tables": 23, "columns": 26, "functions": 32, "has_tables": 23, "has_columns": 26, "has_functions": 32}]})");
  facts.read["fleet"] = json::parse(R"({"nodes": [{"name": "gen-1", "host": "alpha", "pid": 7, "version": "0.1.0", "live": true, "beat": 1, "up": 9000, "failing": 0}],
    "served": ["default"], "types": ["email"], "pauses": [], "limits": [], "endpoints": [], "adopted": [],
    "retention": {"scheduled": 900000, "policies": [{"name": "jobs", "seconds": 3600}]}})");
  facts.read["queues"] = json::parse(R"(["default"])");
  facts.read["schedules"] = json::array();
  return facts;
}

/// "problem check: text | mend" of each finding.
std::string told(const Facts& facts) {
  std::string lines;
  for (const Finding& finding : diagnose(facts, {}).findings) {
    if (!lines.empty()) lines += "\n";
    lines += (finding.severity == Severity::problem ? "problem " : "warning ") + finding.check + ": " + finding.text + " | " + finding.mend;
  }
  return lines;
}

std::string changed(const char* reading, const char* path, json value) {
  Facts facts = healthy();
  facts.read[reading][json::json_pointer(path)] = std::move(value);
  return told(facts);
}

bool says(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE(text);
  return found;
}

}  // namespace

TEST_CASE("doctor: of a healthy fleet nothing is told but a count") {
  const Diagnosis diagnosis = diagnose(healthy(), {});
  CHECK(diagnosis.findings.empty());
  CHECK(diagnosis.unchecked.empty());
  CHECK(diagnosis.checks == all_checks().size());
  CHECK(diagnosis_text(diagnosis, false) == std::to_string(all_checks().size()) + " checks, " + std::to_string(all_checks().size()) + " fine\n");
  CHECK(diagnosis_text(diagnosis, true).empty());
}

TEST_CASE("doctor: names of checks are known by one word of their file and are told once") {
  std::set<std::string_view> names;
  for (const Check& check : all_checks()) {
    CAPTURE(check.name);
    CHECK(names.insert(check.name).second);
    CHECK(check.name.find('.') != std::string_view::npos);
    CHECK_FALSE(check.summary.empty());
    CHECK_FALSE(check.needs.empty());
  }
}

TEST_CASE("doctor: a server that takes no writes") {
  CHECK(says(changed("server", "/standby", true), "problem server.writes: this server is a standby"));
  CHECK(says(changed("server", "/read_only", true), "problem server.writes: default_transaction_read_only is on"));
  CHECK(says(changed("server", "/read_only", true), "| ALTER DATABASE shop RESET"));
}

TEST_CASE("doctor: settings that lose what was committed") {
  CHECK(says(changed("server", "/fsync", "off"), "problem server.durability: fsync is off: a crash of the machine may destroy"));
  CHECK(says(changed("server", "/full_page_writes", "off"), "problem server.durability: full_page_writes is off"));
  CHECK(says(changed("server", "/synchronous_commit", "off"), "warning server.durability: synchronous_commit is off"));
  CHECK(changed("server", "/synchronous_commit", "local").empty());
  CHECK(changed("server", "/synchronous_commit", "remote_apply").empty());
}

TEST_CASE("doctor: what a login is given that loses its jobs, or hides them") {
  const auto given = [](const char* setting) { return changed("server", "/role_settings/0", {{"role", "shop"}, {"setting", setting}, {"mend", "ALTER ROLE"}}); };
  CHECK(says(given("synchronous_commit=off"), "warning server.role_settings: logins of shop are given synchronous_commit=off: jobs whose commit it was told of are gone"));
  CHECK(says(given("session_replication_role=replica"), "triggers do not fire for it"));
  CHECK(says(given("rowcrew.notify=off"), "jobs it inserts wake nobody"));
}

TEST_CASE("doctor: nobody removes dead rows") {
  CHECK(says(changed("server", "/autovacuum", "off"), "problem server.vacuum: autovacuum is off"));
  CHECK(says(changed("server", "/track_counts", "off"), "problem server.vacuum: track_counts is off"));
}

TEST_CASE("doctor: transaction ids run out") {
  CHECK(changed("server", "/xid_age", 900'000'000).empty());
  CHECK(says(changed("server", "/xid_age", 1'100'000'000), "warning server.wraparound: 1100 million transaction ids"));
  CHECK(says(changed("server", "/multixact_age", 1'700'000'000), "problem server.wraparound: 1700 million multixact ids"));
}

TEST_CASE("doctor: connections run out, of the server or of the database") {
  CHECK(changed("server", "/connections", 87).empty());
  CHECK(says(changed("server", "/connections", 88), "warning server.connections: 88 of 97 connections are taken"));
  CHECK(says(changed("server", "/database_limit", 20), "warning server.connections: 20 of the 20 connections that database shop may have"));
}

TEST_CASE("doctor: the queue of notifications fills up") {
  CHECK(changed("server", "/notify_queue", 0.05).empty());
  CHECK(says(changed("server", "/notify_queue", 0.2), "warning server.notifications: the queue of notifications is 20 % full"));
  CHECK(says(changed("server", "/notify_queue", 0.6), "problem server.notifications: "));
}

TEST_CASE("doctor: who holds back vacuum, and for how long") {
  const json session = {{"pid", 4711}, {"role", "ada"}, {"program", "pg_dump"}, {"state", "active"}, {"seconds", 7300}, {"mend", "SELECT end()"}};
  CHECK(says(changed("horizon", "/sessions/0", session), "warning server.horizon: session 4711 (ada, \"pg_dump\", active) holds its snapshot for 2h"));
  json young = session;
  young["seconds"] = 600;
  CHECK(changed("horizon", "/sessions/0", young).empty());
  CHECK(says(changed("horizon", "/prepared/0", {{"gid", "x1"}, {"role", "ada"}, {"seconds", 90000}, {"mend", "ROLLBACK PREPARED 'x1'"}}),
             "problem server.horizon: prepared transaction x1 of ada is open for 25h: no dead row is removed meanwhile, and its locks are held | ROLLBACK PREPARED 'x1'"));
  const json slot = {{"name", "gone"}, {"active", false}, {"xmin_age", 0}, {"wal_status", "extended"}, {"kept_bytes", std::int64_t{5} << 30}, {"mend", "drop()"}};
  CHECK(says(changed("horizon", "/slots/0", slot), "warning server.horizon: nobody reads replication slot gone, for which 5 GB of WAL are kept"));
  json old = slot;
  old["active"] = true;
  CHECK(changed("horizon", "/slots/0", old).empty());
  old["xmin_age"] = 20'000'000;
  CHECK(says(changed("horizon", "/slots/0", old), "warning server.horizon: replication slot gone holds back 20 million transactions"));
}

TEST_CASE("doctor: what cannot be seen is said, and is neither a finding nor fine") {
  Facts facts = healthy();
  facts.read["horizon"]["sees_all"] = false;
  facts.read.erase("fleet");
  facts.unread["fleet"] = "needs the rights of rowcrew_viewer";
  const Diagnosis diagnosis = diagnose(facts, {});
  CHECK(diagnosis.findings.empty());
  CHECK(diagnosis.fine == diagnosis.checks - 11);
  const std::string text = diagnosis_text(diagnosis, false);
  CHECK(says(text, "not checked: server.horizon: snapshots of other roles' sessions: needs pg_read_all_stats\n"));
  CHECK(says(text, "not checked: fleet.nodes, fleet.failing, fleet.queues,"));
  CHECK(diagnosis_text(diagnosis, true).empty());
  CHECK(json::parse(diagnosis_json(diagnosis)).at("not_checked").size() == 11);
}

TEST_CASE("doctor: no schema, an older or a newer one, an emptied one, a copy") {
  Facts none = healthy();
  none.read["server"]["schema"] = false;
  for (const char* name : {"installation", "objects", "tables", "rights", "fleet", "queues", "schedules"}) {
    none.read.erase(name);
    none.unread[name] = "needs the schema rowcrew";
  }
  CHECK(told(none) == "problem schema.version: database shop has no schema rowcrew: nothing can be enqueued or run | rowcrew migrate");
  CHECK(says(changed("installation", "/version", 20), "problem schema.version: the schema has version 20, this program needs 24: nodes of its version do not start | rowcrew migrate"));
  CHECK(changed("installation", "/version", 30).empty());
  CHECK(says(changed("installation", "/min_binary", 25), "problem schema.version: the schema needs programs of version 25 or newer"));
  CHECK(says(changed("installation", "", nullptr), "problem schema.meta: the row of rowcrew.meta is gone: no node starts | rowcrew takeover"));
  CHECK(says(changed("installation", "/home", false), "problem schema.home: installation 0d9f2b64 is at home on another server"));
}

TEST_CASE("doctor: indexes and triggers that are not as they were made") {
  CHECK(says(changed("objects", "/absent/0", "tick"), "problem schema.indexes: tables are missing in schema rowcrew: tick"));
  CHECK(says(changed("objects", "/indexes/0", {{"table", "rowcrew.tick"}, {"shape", "(a)"}, {"mend", "CREATE INDEX"}}),
             "problem schema.indexes: rowcrew.tick has no valid index on (a): statements read all of the table instead | CREATE INDEX"));
  CHECK(says(changed("objects", "/broken/0", {{"table", "rowcrew.tick"}, {"index", "rowcrew.i"}, {"mend", "REINDEX"}}),
             "problem schema.indexes: index rowcrew.i of rowcrew.tick is not valid: it is written and never read | REINDEX"));
  const auto trigger = [](const char* state) {
    return changed("objects", "/triggers/0", {{"table", "rowcrew.job_queue"}, {"name", "rowcrew_changed"}, {"state", state}, {"mend", {"CREATE", "ALTER"}}});
  };
  CHECK(says(trigger(""), "problem schema.triggers: trigger rowcrew_changed of rowcrew.job_queue is missing: jobs that are to run again"));
  CHECK(says(trigger(""), " | CREATE; ALTER"));
  CHECK(says(trigger("D"), "is disabled: "));
  CHECK(says(trigger("R"), "fires on replicas only: "));
  CHECK(says(trigger("O"), "warning schema.triggers: trigger rowcrew_changed of rowcrew.job_queue is not ENABLE ALWAYS"));
}

TEST_CASE("doctor: group roles without their rights, unless nobody manages them") {
  CHECK(says(changed("rights", "/roles/0/present", false), "problem rights.roles: role rowcrew_viewer does not exist"));
  CHECK(says(changed("rights", "/roles/0/has_tables", 20), "problem rights.roles: role rowcrew_viewer lacks 3 of the rights that the migrations give"));
  CHECK(says(changed("rights", "/roles/0/usage", false), "lacks 1 of the rights"));
  Facts by_hand = healthy();
  by_hand.read["rights"]["owner"] = "ada";
  for (const char* key : {"has_tables", "has_columns", "has_functions"}) by_hand.read["rights"]["roles"][0][key] = 0;
  CHECK(told(by_hand).empty());
  by_hand.read["rights"]["owner"] = "rowcrew_owner";
  CHECK(says(told(by_hand), "lacks 81 of the rights"));
}

TEST_CASE("doctor: what strangers have done to our tables") {
  const json trigger = {{"table", "rowcrew.job_queue"}, {"trigger", "log_it"}, {"per_row", true}, {"mend", "DROP TRIGGER"}};
  CHECK(says(changed("tables", "/triggers/0", trigger), "warning tables.triggers: rowcrew.job_queue has the trigger log_it, which is not ours: it runs for each row"));
  CHECK(says(changed("tables", "/rules/0", {{"table", "rowcrew.tick"}, {"rule", "r"}, {"mend", "DROP RULE"}}), "problem tables.rules: rowcrew.tick has the rule r"));
  const json one = {{"table", "rowcrew.tick"}, {"mend", "ALTER TABLE"}};
  CHECK(says(changed("tables", "/row_security/0", one), "problem tables.row_security: rowcrew.tick has row security"));
  CHECK(says(changed("tables", "/unlogged/0", one), "problem tables.unlogged: rowcrew.tick is UNLOGGED"));
  CHECK(says(changed("tables", "/not_vacuumed/0", one), "warning tables.vacuum: autovacuum is switched off for rowcrew.tick"));
  CHECK(says(changed("tables", "/without_partition/0", one), "warning tables.partitions: rowcrew.tick has no partition for next week"));
  json dead = {{"table", "rowcrew.job_queue_ready"}, {"rows", 300000}, {"seconds", nullptr}, {"mend", "VACUUM"}};
  CHECK(says(changed("tables", "/dead/0", dead), "warning tables.vacuum: rowcrew.job_queue_ready has about 300000 dead rows (an estimate) and was never vacuumed"));
  dead["seconds"] = 7200;
  CHECK(says(changed("tables", "/dead/0", dead), "was vacuumed 2h ago"));
  dead["seconds"] = 60;  // what is left is what an old snapshot keeps
  CHECK(changed("tables", "/dead/0", dead).empty());
  json key = {{"table", "public.orders"}, {"constraint", "orders_job_fkey"}, {"target", "job_queue"}, {"cascades", false}, {"mend", "ALTER TABLE"}};
  CHECK(says(changed("tables", "/references/0", key), "warning tables.references: foreign key orders_job_fkey of public.orders refers to job_queue: retention keeps what it refers to"));
  key["cascades"] = true;
  CHECK(says(changed("tables", "/references/0", key), "the rows that refer to it go with it"));
}

TEST_CASE("doctor: nobody works") {
  CHECK(says(changed("fleet", "/nodes", json::array()), "problem fleet.nodes: no node is live: nothing runs | systemctl start"));
  Facts silent = healthy();
  silent.read["fleet"]["nodes"][0]["live"] = false;
  silent.read["fleet"]["nodes"][0]["beat"] = 7200;
  silent.read["fleet"]["served"] = json::array();
  silent.read["schedules"] = {{{"name", "nightly"}, {"late_ms", 999999999}}};  // of course
  CHECK(told(silent) == "problem fleet.nodes: no node is live (1 listed, the last beat was gen-1's, 2h ago): nothing runs | systemctl start rowcrewd@default, and look at its log");
}

TEST_CASE("doctor: nodes that fail, or are of different versions for longer than a rollout") {
  CHECK(says(changed("fleet", "/nodes/0/failing", 1), "problem fleet.failing: some work of node gen-1 on alpha does nothing but fail | rowcrew status tells which"));
  Facts facts = healthy();
  json newer = facts.of("fleet").at("nodes").at(0);
  newer["version"] = "0.2.0";
  facts.read["fleet"]["nodes"].push_back(newer);
  CHECK(says(told(facts), "warning fleet.versions: nodes run programs of different versions for more than an hour: 0.1.0, 0.2.0"));
  facts.read["fleet"]["nodes"][1]["up"] = 60;
  CHECK(told(facts).empty());
}

TEST_CASE("doctor: queues that nobody serves") {
  CHECK(says(changed("queues", "/1", "mial"), "problem fleet.queues: jobs wait for queue mial, which no live node serves"));
  CHECK(says(changed("fleet", "/adopted/0", {{"name", "public_jobs"}, {"mode", "serve"}, {"queue", "slow"}, {"fault", nullptr}}),
             "problem fleet.queues: adopted table public_jobs is about queue slow"));
  CHECK(changed("fleet", "/adopted/0", {{"name", "public_jobs"}, {"mode", "serve"}, {"queue", nullptr}, {"fault", nullptr}}).empty());
}

TEST_CASE("doctor: adopted tables that are held, and those that will be") {
  CHECK(says(changed("fleet", "/adopted/0", {{"name", "public_jobs"}, {"mode", "held"}, {"queue", "default"}, {"fault", "column kind was dropped"}}),
             "problem fleet.adopted: adopted table public_jobs is held: column kind was dropped: none of its jobs are claimed"));
  CHECK(says(changed("fleet", "/adopted/0", {{"name", "public_jobs"}, {"mode", "serve"}, {"queue", "default"}, {"fault", "trigger x is missing"}}),
             "will be held by the next node that looks"));
}

TEST_CASE("doctor: what was stopped and forgotten") {
  json pause = {{"scope", "type"}, {"name", "email"}, {"by", "ada"}, {"seconds", 8 * 86400}, {"reason", "relay is down"}};
  CHECK(says(changed("fleet", "/pauses/0", pause), "warning fleet.pauses: type email is paused for 8d, by ada (relay is down), and no end is set: its jobs only wait | rowcrew resume type email"));
  pause["seconds"] = 86400;
  CHECK(changed("fleet", "/pauses/0", pause).empty());
  CHECK(says(changed("schedules", "/0", {{"name", "nightly"}, {"late_ms", 600000}}), "problem fleet.schedules: schedule nightly is overdue by 10m"));
  CHECK(changed("schedules", "/0", {{"name", "nightly"}, {"late_ms", 60000}}).empty());
}

TEST_CASE("doctor: limits about nothing") {
  const auto rule = [](json queue, json type, bool queue_known, bool type_known) {
    return changed("fleet", "/limits/0", {{"name", "few"}, {"queue", std::move(queue)}, {"type", std::move(type)}, {"queue_known", queue_known}, {"type_known", type_known}});
  };
  CHECK(says(rule("mial", nullptr, false, false), "warning fleet.limits: limit few is about queue mial, which no live node serves: it limits nothing | rowcrew limit remove few"));
  CHECK(says(rule("default", "emial", false, false), "limit few is about type emial, which no live node has a handler for"));
  CHECK(rule("mial", nullptr, true, false).empty());
  CHECK(rule(nullptr, "emial", false, true).empty());
  CHECK(rule("default", "email", false, false).empty());
  CHECK(rule(nullptr, nullptr, false, false).empty());
}

TEST_CASE("doctor: retention that does not come round") {
  CHECK(says(changed("fleet", "/retention/scheduled", nullptr), "warning fleet.retention: no enabled schedule enqueues jobs of type retention"));
  CHECK(says(changed("fleet", "/retention/policies/0/seconds", 3 * 86400), "warning fleet.retention: retention policy jobs has not come to an end for 3d"));
  CHECK(changed("fleet", "/retention", {{"scheduled", 600}, {"policies", {{{"name", "jobs"}, {"seconds", 9 * 86400}}}}}).empty());
}

TEST_CASE("doctor: webhooks that nobody takes") {
  json endpoint = {{"id", "e1"}, {"enabled", true}, {"failing", 7200}, {"reason", ""}, {"mend", "UPDATE"}};
  CHECK(says(changed("fleet", "/endpoints/0", endpoint), "warning fleet.webhooks: webhook endpoint e1 only fails for 2h"));
  endpoint["enabled"] = false;
  endpoint["reason"] = "Failing for 5 days.";
  CHECK(says(changed("fleet", "/endpoints/0", endpoint), "webhook endpoint e1 is switched off (Failing for 5 days.): events are neither sent nor kept for it | UPDATE"));
}

TEST_CASE("doctor: the way to the server") {
  Facts facts = healthy();
  facts.read["connection"]["remote"] = {"db.example.com"};
  CHECK(told(facts).empty());
  facts.read["server"]["encrypted"] = false;
  CHECK(says(told(facts), "warning connection.encryption: the connection to db.example.com is not encrypted"));
  facts.read["connection"]["pooled"] = true;
  facts.read["connection"]["direct"] = true;
  CHECK(told(facts).empty());
  CHECK(says(diagnosis_text(diagnose(facts, {}), false), "not checked: connection.encryption: "));
  CHECK(says(changed("connection", "/pooled", true), "warning connection.pooler: database.pooled is set and database.direct_url is not"));
}

TEST_CASE("doctor: problems come first, those of one check in their order, and skipped checks are not counted") {
  Facts facts = healthy();
  facts.read["server"]["synchronous_commit"] = "off";
  facts.read["fleet"]["nodes"] = json::array();
  const Diagnosis all = diagnose(facts, {});
  REQUIRE(all.findings.size() == 2);
  CHECK(all.findings[0].check == "fleet.nodes");
  CHECK(all.has(Severity::problem));
  const Diagnosis some = diagnose(facts, {"fleet.nodes"});
  CHECK(some.checks == all.checks - 1);
  CHECK_FALSE(some.has(Severity::problem));
  CHECK(some.has(Severity::warning));
  CHECK(diagnosis_text(some, true) == "warning  server.durability: " + some.findings[0].text + "\n         " + some.findings[0].mend + "\n");
  const json object = json::parse(diagnosis_json(some));
  CHECK(object.at("checks") == some.checks);
  CHECK(object.at("fine") == some.checks - 1);
  CHECK(object.at("findings").at(0).at("severity") == "warning");
}

TEST_CASE("doctor: a hundred of one kind are twenty and a count, names of strangers stay in their line") {
  Facts facts = healthy();
  for (int i = 0; i < 100; ++i) facts.read["queues"].push_back("q\n" + std::to_string(i));
  const std::string text = diagnosis_text(diagnose(facts, {}), true);
  CHECK(std::count(text.begin(), text.end(), '\n') == 41);
  CHECK(says(text, "fleet.queues: 80 more, which --json tells\n"));
  CHECK(json::parse(diagnosis_json(diagnose(facts, {}))).at("findings").size() == 100);
}

TEST_CASE("doctor: who may look at hardly anything is not told that all is well") {
  Facts facts = healthy();
  for (const char* reading : {"installation", "objects", "tables", "rights", "fleet", "queues", "schedules"}) {
    facts.read.erase(reading);
    facts.unread[reading] = "needs the rights of rowcrew_viewer";
  }
  const Diagnosis diagnosis = diagnose(facts, {});
  CHECK(diagnosis.findings.empty());
  CHECK(diagnosis.sees_little());
  CHECK(says(diagnosis_text(diagnosis, true), "needs the rights of rowcrew_viewer"));
  facts = healthy();
  facts.read.erase("horizon");
  facts.unread["horizon"] = "needs pg_read_all_stats";
  CHECK_FALSE(diagnose(facts, {}).sees_little());
  CHECK(diagnosis_text(diagnose(facts, {}), true).empty());
}
