// The retention kind on a database of its own, with policies of the test's making.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "pg/pool.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"
#include "workers/retention/retention_handler.hpp"

namespace rowcrew::testing {

/// The clock stands at 2026-06-01 00:00 UTC; every shipped policy is gone unless kept.
class RetentionBench : public KindBench {
 public:
  enum class Policies { none, shipped };
  explicit RetentionBench(Policies policies = Policies::none)
      : KindBench("{}"), pool(db.options(), log), with(pool, *this), handler(with.deps) {
    for (const char* name : {"clock() RETURNS timestamptz LANGUAGE sql STABLE",
                             "clock_now() RETURNS timestamptz LANGUAGE sql VOLATILE"}) {
      db.exec("CREATE OR REPLACE FUNCTION rowcrew." + std::string(name) +
              " PARALLEL SAFE AS 'SELECT timestamptz ''2026-06-01 00:00Z'''");
    }
    // Two years before: whatever ended within these may be meant.
    db.exec("CREATE OR REPLACE FUNCTION rowcrew.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS "
            "$$ SELECT (substr(rowcrew.id_at(rowcrew.clock_now() - interval '2 years')::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid $$");
    if (policies == Policies::none) db.exec("DELETE FROM rowcrew.retention_policy");
  }

  void policy(const std::string& name, const std::string& target, const std::string& age,
              const std::string& action = "delete", const std::string& columns = "",
              const std::string& values = "") {
    db.exec("INSERT INTO rowcrew.retention_policy (name, target, age, action, enabled" + columns +
            ") VALUES ('" + name + "', '" + target + "', '" + age + "', '" + action + "', true" +
            values + ")");
  }

  /// Moves the clock on to this time.
  void clock_at(const std::string& time) {
    db.exec("CREATE OR REPLACE FUNCTION rowcrew.clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT timestamptz ''" + time + "'''");
  }

  Outcome go(const std::string& payload = "{}",
             std::chrono::milliseconds left = std::chrono::hours(1)) {
    return run(handler, payload, left);
  }
  /// Must complete.
  nlohmann::json result(const std::string& payload = "{}") {
    const Outcome outcome = go(payload);
    REQUIRE(std::holds_alternative<Completed>(outcome));
    return nlohmann::json::parse(std::get<Completed>(outcome).result).at("policies");
  }
  /// Of the only policy.
  std::int64_t removed(const std::string& payload = "{}") {
    return result(payload).at(0).at("removed").get<std::int64_t>();
  }

  std::string value(const std::string& sql) { return db.value(sql); }
  /// A text that changes when anything in these tables does, dead rows included.
  std::string state() {
    std::string all;
    for (const char* table :
         {"job_queue", "processing_jobs", "job_attempt", "job_event", "webhook_deliveries",
          "email_notifications", "node_stat", "audit_logs", "archive", "retention_policy"}) {
      all += value("SELECT concat('" + std::string(table) +
                   "', count(*), sum(hashtext(r::text || r.xmin || r.xmax || r.tableoid)::bigint)) "
                   "FROM rowcrew." + table + " r");
    }
    return all;
  }

  TempDatabase db;  ///< hides the base's, which refuses
  Pool pool;

 private:
  struct With {
    With(Db& to, KindBench& bench)
        : deps{to,        bench.ports,  bench.http, bench.mail, bench.children,
               bench.clock, bench.random, bench.log,  bench.kinds} {}
    Deps deps;
  };
  With with;

 public:
  retention::RetentionHandler handler;
};

}  // namespace rowcrew::testing
