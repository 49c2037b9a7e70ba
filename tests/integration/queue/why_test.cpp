// Every answer to "why is this job not running?", each from a fixture of its own.
#include <functional>
#include <nlohmann/json.hpp>
#include <regex>

#include "beat_rows.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;

namespace {

struct Answer {
  std::string line;
  nlohmann::json object;
  std::string reason() const { return object.at("reason").get<std::string>(); }
};

Answer why(QueueBench& b, const std::string& id) {
  const Rows rows = b.run(sql::cli_why, Params{}.add(id));
  return {std::string(rows.text(0, 0)), nlohmann::json::parse(rows.text(0, 1))};
}

void pause(QueueBench& b, const char* scope, const char* name, const char* reason, const char* span = nullptr) {
  Params params;
  params.add(scope).add(name).add(reason);
  span != nullptr ? params.add(span) : params.add(std::nullopt);
  b.run(sql::cli_pause, std::move(params));
}

std::string job_on_node(QueueBench& b) {
  b.node();
  return b.insert_one();
}

std::string running(QueueBench& b, NodeIdentity& node) {
  const std::string id = b.insert_one();
  node = b.node();
  b.claim(node);
  return id;
}

std::string ended_as(QueueBench& b, const Outcome& outcome) {
  NodeIdentity node;
  const std::string id = b.insert_one("max_attempts", "3");
  node = b.node();
  b.end(b.claim(node), outcome);
  return id;
}

struct Fixture {
  const char* name;
  const char* reason;
  const char* text;  ///< a regular expression that the line matches
  bool until;        ///< whether a time is given
  std::function<std::string(QueueBench&)> make;
};

const std::vector<Fixture>& fixtures() {
  static const std::vector<Fixture> kFixtures = {
      {"unknown", "unknown", "no job has this id.*", false, [](QueueBench&) { return std::string("00000000-0000-7000-8000-000000000001"); }},
      {"scheduled", "scheduled", "not due until 20.* UTC", true,
       [](QueueBench& b) {
         b.node();
         return b.insert_one("scheduled_at", "now() + interval '1 hour'");
       }},
      {"never", "scheduled", "never due: its time is infinity", true,
       [](QueueBench& b) {
         b.node();
         return b.insert_one("scheduled_at", "'infinity'");
       }},
      {"backing off", "backoff", "backing off until 20.* UTC after http_500: it broke \\(execution 1 of 3\\)", true,
       [](QueueBench& b) { return ended_as(b, Retry("http_500", "it broke", 10min)); }},
      {"snoozed", "snoozed", "snoozed until 20.* UTC: the shop is closed", true,
       [](QueueBench& b) { return ended_as(b, Snooze(10min, "the shop is closed")); }},
      {"queue paused", "paused", "queue q is paused by .* since 20.* UTC until 20.* UTC: upgrade", true,
       [](QueueBench& b) {
         pause(b, "queue", "q", "upgrade", "60000");
         return job_on_node(b);
       }},
      {"queue paused by its flag", "paused", "queue q is paused, until it is resumed: by hand", false,
       [](QueueBench& b) {
         b.exec("INSERT INTO rowcrew.queue (name, paused, note) VALUES ('q', true, 'by hand')");
         return job_on_node(b);
       }},
      {"type paused", "paused", "type t is paused by .* since .*, until it is resumed: broken", false,
       [](QueueBench& b) {
         pause(b, "type", "t", "broken");
         return job_on_node(b);
       }},
      {"tenant paused", "paused", "tenant acme is paused by .*", false,
       [](QueueBench& b) {
         pause(b, "tenant", "acme", "unpaid");
         b.node();
         return b.insert_one("tenant", "'acme'");
       }},
      {"tenant paused, and it has met a crash", "paused", "tenant acme is paused by .*", false,
       [](QueueBench& b) {
         pause(b, "tenant", "acme", "unpaid");
         const std::string id = b.insert_one("tenant, crashes", "'acme', 2");
         std::vector<Job> met;
         for (ClaimedJob& job : b.claim_suspect(b.node())) met.push_back(std::move(job.job));
         b.await(b.jobs.park_unserved(met, {}, 30s));  // as a node does that meets it
         return id;
       }},
      {"no node", "no_node", "no node is running", false, [](QueueBench& b) { return b.insert_one(); }},
      {"only a silent node", "no_node", "no node is running", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.exec("UPDATE rowcrew.node SET last_seen = now() - interval '10 minutes'");
         return id;
       }},
      {"queue unserved", "queue_unserved", "no running node serves queue q", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.exec("UPDATE rowcrew.node SET queues = '{other}'");
         return id;
       }},
      {"type unserved", "type_unserved", "no running node of queue q has a handler for job type t", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.exec("UPDATE rowcrew.node SET job_types = '{other}'");
         return id;
       }},
      {"type unserved, handed back", "type_unserved", "no running node of queue q has a handler for job type t", false,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = running(b, node);
         b.exec("UPDATE rowcrew.node SET job_types = '{other}'");
         std::vector<Job> jobs;
         Job job;
         job.id = id;
         job.claim_token = b.last_token();
         jobs.push_back(job);
         b.await(b.jobs.park_unserved(jobs, {b.last_token()}, 30s));
         return id;
       }},
      {"claims fail", "failing", "nothing of its table can be claimed, on node node for 15 s: canceling statement", false,
       [](QueueBench& b) {
         const std::string id = b.insert_one();
         beat(b, b.node(), R"([{"work": "ends of )" + b.table + R"(", "for_ms": 9000, "error": "no"}, )"
                           R"({"work": "claims of )" + b.table + R"(", "for_ms": 15054, "error": "canceling statement"}])");
         return id;
       }},
      {"claims fail on another node, or of another table", "no_slot", "next in line, waits for a free slot", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         beat(b, b.node(2), R"([{"work": "claims of )" + b.table + R"(", "for_ms": 15054, "error": "canceling statement"}])");
         beat(b, b.node(3), R"([{"work": "claims of another", "for_ms": 15054, "error": "canceling statement"}])");
         return id;
       }},
      {"limit full", "limit", "limit all is full: 0 of 0 run", false,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('all', p_queue => 'q', p_running => 0)");
         return job_on_node(b);
       }},
      {"rate spent", "rate", "rate slow \\(1 per 01:00:00\\) is spent until 20.* UTC", true,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('slow', p_queue => 'q', p_units => 1, p_per => '1 hour')");
         b.exec("INSERT INTO rowcrew.limit_start VALUES ('slow', rowcrew.clock_now(), 1)");
         return job_on_node(b);
       }},
      {"bucket empty", "rate", "rate slow \\(1 per 01:00:00\\) is spent until 20.* UTC", true,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('slow', p_queue => 'q', p_units => 1, p_per => '1 hour', p_burst => 3)");
         b.exec("INSERT INTO rowcrew.limit_key (key, level, filled_at) VALUES ('slow', 0, rowcrew.clock_now())");
         return job_on_node(b);
       }},
      {"key paused", "paused", "key lane is paused by .* since 20.* UTC until 20.* UTC: the provider says wait", true,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('lane', p_queue => 'q')");
         pause(b, "key", "lane", "the provider says wait", "60000");
         return job_on_node(b);
       }},
      {"suspect", "suspect", "met the death of its node 2 times: waits for a node that runs nothing else", false,
       [](QueueBench& b) {
         b.node();
         return b.insert_one("crashes", "2");
       }},
      {"unclaimable", "unclaimable", "cannot be claimed, tried again at 20.* UTC: its row says no", true,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.await(b.jobs.park_unclaimable(id, {"q"}, 10min, "its row says no"));
         return id;
       }},
      {"next in line", "no_slot", "next in line, waits for a free slot", false, job_on_node},
      {"behind others", "no_slot", "waits for a free slot, with about 7 due jobs of queue q before it", false,
       [](QueueBench& b) {
         b.insert(4, "priority", "2");
         b.insert(3);
         return job_on_node(b);
       }},
      {"behind others of its keys", "no_slot", "waits for a free slot, with about 5 due jobs of queue q before it", false,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('all', p_queue => 'q', p_running => 9)");
         b.insert(3, "priority", "2");
         b.insert(2);
         return job_on_node(b);
       }},
      {"first of its keys", "no_slot", "next of its keys in line, waits for a free slot", false,
       [](QueueBench& b) {
         b.exec("SELECT rowcrew.limit_set('per-tenant', p_queue => 'q', p_by => 'tenant', p_running => 9)");
         b.insert(3, "tenant", "'a'");
         b.node();
         return b.insert_one("tenant", "'b'");
       }},
      {"running", "running", "running on node node \\(host\\) since 20.* UTC", true,
       [](QueueBench& b) {
         NodeIdentity node;
         return running(b, node);
       }},
      {"running, after deaths of its nodes", "running", "running on node node \\(host\\) since 20.* UTC, after 2 of its nodes died", true,
       [](QueueBench& b) {
         const std::string id = b.insert_one("crashes", "2");
         b.claim_suspect(b.node());
         return id;
       }},
      {"running with progress", "running", "running on node node \\(host\\) since 20.* UTC, 45 %: page 9 of 20", true,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = running(b, node);
         b.query("INSERT INTO rowcrew.job_progress (job_table, job_id, percent, note) VALUES ($1, $2::uuid, 45, 'page 9 of 20')",
                 Params{}.add(b.table).add(id));
         return id;
       }},
      {"its node is dead", "node_lost", "its node node is gone: waits to be rescued by another", false,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = running(b, node);
         b.kill(node);
         return id;
       }},
      {"cancel requested, running", "cancel_requested", "cancelled by .*: wrong photo, still running on node node .*", false,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = running(b, node);
         b.run(sql::cli_cancel, Params{}.add(id).add("wrong photo"));
         return id;
       }},
      {"cancel requested, back in the queue", "cancel_requested", "cancelled by .*: wrong photo, ends in a moment", false,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = running(b, node);
         b.run(sql::cli_cancel, Params{}.add(id).add("wrong photo"));
         b.await(b.jobs.hand_back(b.last_token(), node.node_id));
         return id;
       }},
      {"cancelled", "cancelled", "cancelled by .*: not wanted at 20.* UTC", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.run(sql::cli_cancel, Params{}.add(id).add("not wanted"));
         return id;
       }},
      {"cancelled by hand", "cancelled", "cancelled by hand", false,
       [](QueueBench& b) {
         const std::string id = job_on_node(b);
         b.exec("UPDATE {t} SET status = 'cancelled'");
         return id;
       }},
      {"completed", "completed", "finished at 20.* UTC", false,
       [](QueueBench& b) {
         NodeIdentity node;
         const std::string id = b.insert_one();
         node = b.node();
         b.complete(b.claim(node));
         return id;
       }},
      {"failed", "failed", "failed at 20.* UTC after 1 of 3 executions with no_such_account: it is gone", false,
       [](QueueBench& b) { return ended_as(b, Failed("no_such_account", "it is gone")); }},
      {"poison", "poison", "failed as poison at 20.* UTC: its node died 1 times while running it alone", false,
       [](QueueBench& b) {
         const std::string id = b.insert_one("crashes", "2");
         const NodeIdentity node = b.node();
         b.claim_suspect(node);
         b.kill(node);
         b.await(b.jobs.reap(1, 0));
         return id;
       }},
  };
  return kFixtures;
}

/// The source of every function that answers, by its signature.
std::vector<std::string> sources(QueueBench& b) {
  const Rows rows = b.query("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'rowcrew'::regnamespace AND proname ~ '^why'");
  std::vector<std::string> out;
  for (std::size_t i = 0; i < rows.size(); ++i) out.emplace_back(rows.text(i, 0));
  return out;
}

}  // namespace

TEST_CASE("why: each reason has its answer, for people and for programs") {
  for (const char* table : kJobTables) {
    for (const Fixture& f : fixtures()) {
      QueueBench b(table);
      const std::string id = f.make(b);
      const Answer answer = why(b, id);
      CAPTURE(table);
      CAPTURE(f.name);
      CAPTURE(answer.line);
      CHECK(answer.reason() == f.reason);
      CHECK(std::regex_match(answer.line, std::regex(f.text)));
      CHECK(answer.object.at("text") == answer.line);
      CHECK(answer.object.at("job") == id);
      CHECK(answer.object.at("until").is_string() == f.until);
      if (answer.reason() != "unknown") CHECK(answer.object.at("details").at("table") == table);
    }
  }
}

TEST_CASE("why: a job that retention archived is told as it ended, with when that was and by which policy") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const std::string id = ended_as(b, Failed("no_such_account", "it is gone"));
    const nlohmann::json before = why(b, id).object;
    b.ddl("SELECT rowcrew.set_clock_offset('100 days');"
          "UPDATE rowcrew.retention_policy SET enabled = true WHERE name = 'generations';"
          "SELECT rowcrew.retention_page(p, false, NULL, NULL) FROM unnest(ARRAY['jobs', 'generations']) p");
    REQUIRE(b.count(b.qualified) == 0);
    const Answer answer = why(b, id);
    const std::string policy = std::string(table) == "job_queue" ? "jobs" : "generations";
    CHECK(std::regex_match(answer.line, std::regex("failed at 20.* UTC after 1 of 3 executions with no_such_account: it is gone; "
                                                   "archived at 20.* UTC by policy " + policy)));
    nlohmann::json after = answer.object;
    CHECK(after.at("details").at("policy") == policy);
    CHECK(after.at("details").at("archived_at").is_string());
    after["details"].erase("policy");
    after["details"].erase("archived_at");
    CHECK(after.at("details") == before.at("details"));
    CHECK(after.at("reason") == "failed");
  }
}

TEST_CASE("why: every reason in the source has a fixture, and one that gives another turns it red") {
  QueueBench b("job_queue", 2, QueueBench::Database::fresh);
  const std::vector<std::string> intact = sources(b);
  REQUIRE(intact.size() == 9);
  static const std::regex kReason(R"('reason', '(\w+)'|because\(j, '(\w+)')");
  std::set<std::string> found;
  std::set<std::string> covered;
  for (const std::string& source : intact) {
    for (std::sregex_iterator at(source.begin(), source.end(), kReason), end; at != end; ++at) {
      found.insert((*at)[1].matched ? (*at)[1] : (*at)[2]);
    }
  }
  for (const Fixture& f : fixtures()) covered.insert(f.reason);
  CHECK(found == covered);
  for (const std::string& reason : found) {
    // The wrong reason wherever this one is given.
    for (std::string source : intact) {
      const std::string mutant = std::regex_replace(source, std::regex("('reason', |because\\(j, )'" + reason + "'"), "$1'mutant'");
      if (mutant != source) b.ddl(mutant);
    }
    int red = 0;
    int of_reason = 0;
    for (const Fixture& f : fixtures()) {
      if (f.reason != reason) continue;
      b.ddl("TRUNCATE rowcrew.job_queue, rowcrew.node, rowcrew.pause, rowcrew.queue, rowcrew.cancel_request, rowcrew.job_progress, "
            "rowcrew.job_limit, rowcrew.limit_key, rowcrew.limit_start");
      ++of_reason;
      red += why(b, f.make(b)).reason() != reason ? 1 : 0;
    }
    CAPTURE(reason);
    CHECK(of_reason > 0);
    CHECK(red == of_reason);
    for (const std::string& source : intact) b.ddl(source);
  }
}

TEST_CASE("why: its description names every reason that it gives") {
  QueueBench b;
  const std::string described = b.value("SELECT obj_description('rowcrew.why(uuid)'::regprocedure)");
  for (const Fixture& f : fixtures()) {
    CAPTURE(f.reason);
    CHECK(std::regex_search(described, std::regex(std::string("\\b") + f.reason + "\\b")));
  }
}

TEST_CASE("why: what keeps a job for good comes before what a slot would do") {
  QueueBench b;
  const std::string id = job_on_node(b);
  pause(b, "queue", "q", "x", "60000");
  pause(b, "type", "t", "y");
  CHECK(why(b, id).object.at("details").at("scope") == "type");  // the one that lasts longer
  b.run(sql::cli_resume, Params{}.add("type").add("t"));
  CHECK(why(b, id).object.at("details").at("scope") == "queue");
  b.exec("UPDATE rowcrew.pause SET since = now() - interval '2 hours', until = now() - interval '1 hour'");
  CHECK(why(b, id).reason() == "no_slot");  // a pause whose time is over pauses nothing
}
