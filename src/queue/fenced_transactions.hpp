// Transactions that end jobs: JobTransactions on the handlers' connections.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/job_transactions.hpp>

#include "pg/pool.hpp"
#include "pg/statement_template.hpp"
#include "queue/port_catalog.hpp"
#include "queue/shared_wires.hpp"
#include "queue/table_map.hpp"
#include "queue/turns.hpp"

namespace rowcrew {

class FencedTransactions final : public JobTransactions {
 public:
  /// `connections`: those of `db`; no more transactions than it has threads are under way, or twice as many
  /// while they are short; the others wait their turn, for as long as their jobs may. Everything else given
  /// must outlive this. `wires`, connected as `db` is: for transactions of a single statement, which then
  /// need no thread, and while they are short two are on their way over each. Without any all are for `db`.
  FencedTransactions(Db& db, PortCatalog& ports, Clock& clock, const std::vector<std::string>& tables,
                     const PoolOptions& connections, std::vector<std::unique_ptr<Wire>> wires);
  ~FencedTransactions() override;

  /// From now on jobs of a table by this name are ended as `map` says: one of an application's, or one described anew.
  void describe(TableMap map);

  Awaitable<std::vector<Settled>> call(SqlFunction function, std::vector<JobContext*> jobs,
                                       std::chrono::milliseconds within) override;

 protected:
  Awaitable<Settled> complete_with(JobContext& context, std::function<std::string(Tx&)> work) override;

 private:
  struct Table;
  struct Plan;
  using Ids = std::vector<std::string>;

  Table& table_of(const Job& job);
  Plan plan_for(Table& table, std::vector<JobContext*> jobs, Mono until) const;
  Awaitable<Ids> timed(Awaitable<Ids> work);
  Awaitable<std::optional<Ids>> over_wire(const Plan& plan);
  Awaitable<Ids> exec_over(Wire& wire, const Plan& plan);
  Awaitable<Ids> over_thread(const Plan& plan);
  template <class F>
  auto run(TxMode mode, F work, Mono until) -> Awaitable<std::invoke_result_t<F&, Tx&>>;
  Awaitable<Ids> one_statement(const Plan& plan);
  Awaitable<Ids> transaction(const Plan& plan, std::function<std::string(Tx&)> work);
  Awaitable<Ids> which_ended(const Plan& plan, DbError unknown);
  Awaitable<Ids> ask_which_ended(const Plan& plan, const DbError& unknown);

  Db& db_;
  PortCatalog& ports_;
  Clock& clock_;
  std::chrono::milliseconds statement_timeout_;
  const std::size_t threads_;
  MonoClock::duration took_{};  ///< lately
  Turns turns_;
  SharedWires wires_;
  std::map<std::string, std::unique_ptr<Table>, std::less<>> tables_;
  std::vector<std::unique_ptr<Table>> earlier_;  ///< as they were described before: a transaction may be under way
};

}  // namespace rowcrew
