// Jobs whose work is in the database, ended by FencedTransactions as a node does it. The application is a
// schema "shop" with a table of effects, unique by job.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/system_clock.hpp"
#include "pg/lane.hpp"
#include "queue/fenced_transactions.hpp"
#include "queue_bench.hpp"

namespace rowcrew::testing {

constexpr const char* kShop =
    "CREATE SCHEMA shop; CREATE TABLE shop.effect (job uuid PRIMARY KEY, args jsonb, settings text);"
    "CREATE FUNCTION shop.buy(job uuid, args jsonb) RETURNS void LANGUAGE sql AS"
    " 'INSERT INTO shop.effect VALUES (job, args, current_setting(''statement_timeout''))';"
    "CREATE FUNCTION shop.count(args jsonb) RETURNS jsonb LANGUAGE sql AS"
    " 'SELECT jsonb_build_object(''n'', (args ->> ''n'')::numeric + 1)';"
    "CREATE FUNCTION shop.pick(job uuid, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN "
    "  INSERT INTO shop.effect VALUES (job, args); "
    "  IF args ? 'raise' THEN RAISE EXCEPTION 'sold out' USING ERRCODE = args ->> 'raise'; END IF; "
    "  RETURN args -> 'answer'; END $$;";

struct Lease final : LeaseView {
  explicit Lease(Mono end) : until(end) {}
  Mono lease_until() const override { return until; }
  Mono until;
};

inline const Statement kEffect{"test_effect", "INSERT INTO shop.effect VALUES ($1::uuid, $2::jsonb)"};

/// Whose ends must be alike: our two tables, and one of an application.
inline constexpr const char* kEndedTables[] = {"job_queue", "processing_jobs", "adopted"};

struct TransactionsBench : QueueBench {
  explicit TransactionsBench(const std::string& of = "job_queue")
      : QueueBench(of == "adopted" ? "job_queue" : of, 2, Database::fresh), adopted(of == "adopted"),
        transactions(pool, ports, clock, {table}, db.options(), make_lanes(db.options(), 2, io.get_executor(), clock)) {
    ddl(kShop);
    if (!adopted) return;
    adopt_like_job_queue();
    transactions.describe(adopted_map());
  }

  /// What a node hands to the handler of this job, alive as long as the bench.
  JobContext& context(const ClaimedJob& job, std::chrono::milliseconds left = std::chrono::minutes(5)) {
    claimed.push_back(std::make_unique<Job>(job.job));
    contexts.push_back(std::make_unique<JobContext>(*claimed.back(), log, clock.mono() + left, clock.mono(), &node_of));
    return *contexts.back();
  }
  std::vector<JobContext*> contexts_of(const std::vector<ClaimedJob>& jobs_claimed) {
    std::vector<JobContext*> all;
    for (const ClaimedJob& job : jobs_claimed) all.push_back(&context(job));
    return all;
  }
  std::vector<Settled> call(const SqlFunction& function, const std::vector<JobContext*>& of,
                            std::chrono::milliseconds within = std::chrono::minutes(10)) {
    return await(transactions.call(function, of, within));
  }
  using QueueBench::complete;
  /// Awaits the transaction and tells whether the job was ours.
  template <class F>
  bool complete(JobContext& of, F work) {
    bool ours = false;
    auto body = [&]() -> boost::asio::awaitable<void> {
      const Settled settled = co_await transactions.complete(of, std::move(work));
      ours = settled.ours();
    };
    await(body());
    return ours;
  }
  std::string buy_args(const std::string& id) {
    return value("SELECT args::text FROM shop.effect WHERE job = $1::uuid", Params{}.add(id));
  }

  bool adopted;
  SystemClock clock;
  PortCatalog ports;
  FencedTransactions transactions;
  Lease lease{clock.mono() + std::chrono::minutes(5)};
  JobContext::Node node_of{lease, transactions};
  std::vector<std::unique_ptr<Job>> claimed;
  std::vector<std::unique_ptr<JobContext>> contexts;
};

inline SqlFunction function(const std::string& name, bool takes_id, bool returns_result) {
  return SqlFunction{"shop", name, takes_id, returns_result};
}

}  // namespace rowcrew::testing
