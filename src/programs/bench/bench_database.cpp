#include "programs/bench/bench_database.hpp"

#include <rowcrew/db_error.hpp>

#include "sql_bench.hpp"

namespace rowcrew::bench {
namespace {

PoolOptions patient(PoolOptions options) {
  options.statement_timeout = std::chrono::minutes(10);  // deletes every job of the run at once
  options.lock_timeout = std::chrono::seconds(10);
  return options;
}

}  // namespace

BenchDatabase::BenchDatabase(PoolOptions connection) : connection_(patient(std::move(connection))) {
  const Rows home = ask(sql::statements_home);
  if (home.empty()) return;
  statements_.emplace(std::map<std::string, std::string, std::less<>>{{"home", std::string(home.text(0, 0))}}, "");
  try {
    ask(statements_->render(sql::statements));
  } catch (const DbError& error) {
    if (error.connection_lost()) throw;
    statements_.reset();  // installed, but the server does not load its library
  }
}

Rows BenchDatabase::ask(const Statement& statement, const Params& params) {
  ++asked_;
  return connection_.exec(statement, params);
}

bool BenchDatabase::holds_other_jobs() { return ask(sql::other_jobs).boolean(0, 0); }

void BenchDatabase::forget() {
  ask(sql::forget);
  ask(sql::bare_drop);
}

void BenchDatabase::make_bare_table() { ask(sql::bare_make); }

ServerCost BenchDatabase::cost() {
  ServerCost cost;
  cost.wal_bytes = ask(sql::wal).integer(0, 0);
  // Counted when it has ended: the statement that asks does not see itself.
  if (statements_) {
    const std::int64_t ours = asked_;
    cost.statements = ask(statements_->render(sql::statements)).integer(0, 0) - ours;
  }
  return cost;
}

bool BenchDatabase::unfinished(const std::string& node) {
  return ask(sql::unfinished, Params{}.add(node)).boolean(0, 0);
}

EndedJobs BenchDatabase::ended() {
  const Rows rows = ask(sql::ended);
  return {rows.integer(0, 0), rows.integer(0, 1)};
}

}  // namespace rowcrew::bench
